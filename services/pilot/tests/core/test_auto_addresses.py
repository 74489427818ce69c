"""Given addresses: one each, the same in whatever order they are computed, and never taken by a newcomer."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from pilot.core.registry import Service, auto_addresses
from pilot.core.registry.auto_addresses import NETWORK, NETWORK_V6, give_addresses


def entry(host: str, created: str = "", *, wants: bool = True) -> Service:
    return Service(host, "shop", host, kind="ServiceEntry", created=created, wants_address=wants)


ENTRIES = st.lists(
    st.builds(
        entry, st.from_regex(r"[a-z]{1,3}\.example", fullmatch=True), st.sampled_from(["2026-01-01", "2026-01-02"])
    ),
    unique_by=lambda item: item.host,
    max_size=30,
)


@given(ENTRIES)
def test_everybody_has_one_of_the_network_whatever_the_order(entries):
    found = give_addresses(entries)
    assert found == give_addresses(reversed(entries))
    for family, network in enumerate((NETWORK, NETWORK_V6)):
        given = [addresses[family] for addresses in found.values()]
        assert len(set(given)) == len(entries)
        assert all(ip_address(address) in network for address in given)


@given(ENTRIES)
def test_who_comes_last_takes_nothing_from_anybody(entries):
    newcomer = entry("new.example", "2026-02-01")
    assert give_addresses(entries).items() <= give_addresses([*entries, newcomer]).items()


def test_who_wants_none_gets_none():
    assert give_addresses([entry("a.example", wants=False)]) == {}


def test_two_with_one_slot_are_told_apart_by_age_and_a_full_network_gives_no_more(monkeypatch):
    monkeypatch.setattr(auto_addresses, "_SIZE", 2)
    found = give_addresses([entry("c.example", "3"), entry("a.example", "1"), entry("b.example", "2")])
    assert {key.host for key in found} == {"a.example", "b.example"}
    assert sorted(found.values()) == [("240.240.0.1", "2001:2::1"), ("240.240.0.2", "2001:2::2")]
