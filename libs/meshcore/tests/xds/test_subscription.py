"""The wildcard rules of the xDS protocol."""

from meshcore.xds.subscription import Subscription
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE


def test_naming_nothing_first_wants_every_cluster_but_no_endpoint():
    assert Subscription.first(CLUSTER_TYPE, ()).wildcard
    assert not Subscription.first(ENDPOINT_TYPE, ()).wildcard


def test_the_star_is_a_wildcard_for_every_type():
    assert Subscription.first(ENDPOINT_TYPE, ["*"]).wants("anything")


def test_a_delta_wildcard_ends_only_by_unsubscribing_from_the_star():
    legacy = Subscription.first(CLUSTER_TYPE, ())
    with_name = legacy.changed(["a"], [])
    assert with_name.wildcard
    assert with_name.changed([], ["a"]).wildcard
    ended = with_name.changed([], ["*"])
    assert not ended.wildcard
    assert ended.names == {"a"}


def test_a_legacy_wildcard_of_the_state_of_the_world_ends_with_the_first_name():
    legacy = Subscription.first(CLUSTER_TYPE, ())
    assert legacy.replaced([]) is legacy
    named = legacy.replaced(["a"])
    assert not named.wildcard
    assert not named.replaced([]).wants("a")


def test_an_explicit_wildcard_of_the_state_of_the_world_stays_while_it_is_named():
    both = Subscription.first(CLUSTER_TYPE, ["*", "a"])
    assert both.wildcard
    assert both.replaced(["*", "a"]) == both
    assert not both.replaced(["a"]).wildcard
