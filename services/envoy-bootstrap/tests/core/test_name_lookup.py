"""Which names a workload may use for what Pilot has in its table."""

import pytest
from envoy_bootstrap.core.name_lookup import Family, Found, NameLookup
from meshcore._generated.istio.networking.nds.v1 import nds_pb2

V4, V6 = Family.V4, Family.V6


def lookup(search=("shop.svc.cluster.local", "svc.cluster.local"), **hosts):
    table = nds_pb2.NameTable()
    for host, (registry, short, namespace, *ips) in hosts.items():
        info = table.table[host.replace("__", ".").replace("ANY", "*")]
        info.registry, info.shortname, info.namespace = registry, short, namespace
        info.ips.extend(ips)
    return NameLookup.of(table.SerializeToString(), "shop", "cluster.local", search)


NAMES = lookup(
    reviews__shop__svc__cluster__local=("Kubernetes", "reviews", "shop", "10.0.0.1", "10.0.0.2"),
    rates__bank__svc__cluster__local=("Kubernetes", "rates", "bank", "10.0.1.1", "fd00::1"),
    api__example__com=("External", "", "shop", "240.240.0.1"),
    ANY__wild__example=("External", "", "shop", "240.240.0.2"),
    odd__example=("External", "", "shop", "not an address"),
)


@pytest.mark.parametrize(
    "name",
    [
        "reviews",
        "reviews.shop",
        "reviews.shop.svc",
        "reviews.shop.svc.cluster.local",
        "reviews.shop.svc.cluster.local.",
        "Reviews.SHOP.svc.Cluster.Local",
    ],
)
def test_a_service_of_the_own_namespace_has_all_its_names(name):
    assert NAMES.lookup(name, V4) == Found(None, ("10.0.0.1", "10.0.0.2"))


def test_one_of_another_namespace_is_not_known_by_its_bare_name():
    assert NAMES.lookup("rates", V4) is None
    assert NAMES.lookup("rates.bank", V4) == Found(None, ("10.0.1.1",))
    assert NAMES.lookup("rates.bank.svc", V6) == Found(None, ("fd00::1",))


def test_a_host_without_addresses_of_a_family_is_known_all_the_same():
    assert NAMES.lookup("reviews", V6) == Found(None, ())
    assert NAMES.lookup("odd.example", V4) == Found(None, ())


def test_hosts_from_elsewhere_have_no_short_names():
    assert NAMES.lookup("api.example.com", V4) == Found(None, ("240.240.0.1",))
    assert NAMES.lookup("api", V4) is None
    assert NAMES.lookup("example.com", V4) is None


@pytest.mark.parametrize("name", ["a.wild.example", "a.b.wild.example"])
def test_a_wildcard_stands_for_any_labels_before_it(name):
    assert NAMES.lookup(name, V4) == Found(None, ("240.240.0.2",))


def test_the_wildcards_own_suffix_is_not_meant():
    assert NAMES.lookup("wild.example", V4) is None


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("api.example.com.shop.svc.cluster.local", "api.example.com"),
        ("rates.bank.shop.svc.cluster.local", "rates.bank"),
        ("x.wild.example.shop.svc.cluster.local", "x.wild.example"),
    ],
)
def test_a_name_lengthened_by_the_first_search_domain_is_an_alias_of_what_was_meant(asked, meant):
    found = NAMES.lookup(asked, V4)
    assert found is not None
    assert found.alias == meant
    assert found.addresses == NAMES.lookup(meant, V4).addresses


def test_other_search_domains_are_left_to_the_name_servers():
    assert NAMES.lookup("api.example.com.svc.cluster.local", V4) is None
    assert lookup((), api__example__com=("External", "", "", "1.1.1.1")).lookup("api.example.com.shop", V4) is None


def test_a_real_host_counts_before_a_short_form_of_the_same_spelling():
    names = lookup(
        reviews__shop=("External", "", "shop", "9.9.9.9"),
        reviews__shop__svc__cluster__local=("Kubernetes", "reviews", "shop", "10.0.0.1"),
    )
    assert names.lookup("reviews.shop", V4) == Found(None, ("9.9.9.9",))
    assert names.lookup("reviews.shop.svc", V4) == Found(None, ("10.0.0.1",))
