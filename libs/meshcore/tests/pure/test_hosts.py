import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshcore.hosts import (
    host_matches,
    hosts_for_namespace,
    hosts_overlap,
    intersection,
    most_specific,
    resolve_short_host,
    specificity,
)

LABEL = st.text("abc", min_size=1, max_size=3)
HOST = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
PATTERN = st.builds(
    str.__add__, st.sampled_from(("", "", "*", "*.")), st.sampled_from(("", "a", "b.a", "ab.a", "a.b.a"))
)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("reviews", "reviews.shop.svc.cluster.local"),
        ("reviews.other", "reviews.other"),
        ("*", "*"),
        ("*.com", "*.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("", ""),
    ],
)
def test_only_names_without_a_dot_are_short(host, expected):
    assert resolve_short_host(host, "shop") == expected


@given(HOST)
def test_resolving_twice_changes_nothing(host):
    once = resolve_short_host(host, "ns")
    assert resolve_short_host(once, "other") == once


def test_a_wildcard_does_not_match_its_own_parent():
    assert host_matches("*.foo.com", "a.foo.com")
    assert host_matches("*.foo.com", "*.a.foo.com")
    assert not host_matches("*.foo.com", "foo.com")
    assert not host_matches("a.foo.com", "*.foo.com")
    assert hosts_overlap("a.foo.com", "*.foo.com")


def test_exact_beats_long_wildcard_beats_short_wildcard():
    patterns = ["*", "*.com", "*.foo.com", "a.foo.com"]
    assert most_specific(patterns, "a.foo.com") == "a.foo.com"
    assert most_specific(patterns, "b.foo.com") == "*.foo.com"
    assert most_specific(patterns, "bar.com") == "*.com"
    assert most_specific(patterns, "bar.org") == "*"
    assert most_specific(patterns[1:], "bar.org") is None


@given(HOST, HOST)
def test_overlap_is_symmetric(one, other):
    assert hosts_overlap("*." + one, other) == hosts_overlap(other, "*." + one)


def test_what_two_lists_of_hosts_both_cover_is_the_narrower_of_each_pair():
    assert intersection(("*.shop.com", "news.com"), ("*", "a.shop.com")) == ("*.shop.com", "a.shop.com", "news.com")
    assert intersection(("*.shop.com",), ("shop.com",)) == ()


@given(st.lists(PATTERN, max_size=6), st.lists(PATTERN, max_size=6))
def test_the_parts_of_two_lists_are_those_of_their_pairs_in_order(some, others):
    pairs = ((one, other) for one in some for other in others if hosts_overlap(one, other))
    expected = dict.fromkeys(one if host_matches(other, one) else other for one, other in pairs)
    assert intersection(some, others) == tuple(expected)


def test_thousands_of_hosts_on_both_sides_are_not_compared_each_with_each():
    class Counted(str):
        compared = 0

        def endswith(self, *args):
            Counted.compared += 1
            return super().endswith(*args)

        def __eq__(self, other):
            Counted.compared += 1
            return super().__eq__(other)

        __hash__ = str.__hash__

    hosts = [Counted(f"h{number}.example") for number in range(2000)]
    assert len(intersection(hosts, [*hosts, Counted("*.other")])) == 2000
    assert Counted.compared < 20 * len(hosts)


def test_hosts_of_other_namespaces_are_left_out():
    scoped = ("a.com", "shop/b.com", "*/c.com", "news/d.com")
    assert hosts_for_namespace(scoped, "shop") == ("a.com", "b.com", "c.com")


def test_sorting_puts_the_most_specific_host_first():
    hosts = ["*", "*.com", "a.com", "*.a.com", "b.a.com", "b.com"]
    assert sorted(hosts, key=specificity) == ["b.a.com", "a.com", "b.com", "*.a.com", "*.com", "*"]
