"""Attack 32: what config may make Pilot dial."""

import pytest
from meshcore.fetch_guard import is_forbidden, parse_networks


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fd20:ce::254",
        "ff02::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ],
)
def test_attack_32_metadata_and_link_local_addresses_are_never_dialled_in_whichever_form(address):
    assert is_forbidden(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fd00::1", "203.0.113.9", "2001:db8::1"])
def test_other_addresses_are_dialled_unless_the_operator_blocks_them(address):
    assert not is_forbidden(address)
    assert is_forbidden(address, parse_networks("0.0.0.0/0, ::/0"))


def test_an_operators_network_covers_the_address_in_ipv6_too():
    assert is_forbidden("::ffff:10.1.2.3", parse_networks("10.0.0.0/8"))
    assert not is_forbidden("::1", parse_networks("10.0.0.0/8"))


def test_networks_are_read_from_a_list_and_a_wrong_one_is_named():
    assert [str(item) for item in parse_networks(" 10.1.2.3/8 ,fd00::/8,")] == ["10.0.0.0/8", "fd00::/8"]
    with pytest.raises(ValueError, match="nowhere"):
        parse_networks("10.0.0.0/8,nowhere")
