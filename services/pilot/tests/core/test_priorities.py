"""Places: who is preferred, who takes over, and how weights are shared out."""

import pytest
from meshcore.model.destination_rule import LocalityLbSetting, OutlierDetection
from pilot.core.compiler.priorities import (
    Group,
    Placement,
    PlaceSetting,
    distributed,
    group_of,
    place_setting,
    placement,
    priorities,
)
from pilot.core.registry import Endpoint, Locality, Service
from pilot.core.registry.endpoint import topology_labels
from pilot.core.registry.service import Distribution

HERE = Locality("eu", "west", "a")
SIDE, ZONE, REGION, FAR, OTHER = (
    Locality("eu", "west", "b"),
    Locality("eu", "east", ""),
    Locality("us", "north", ""),
    Locality("asia", "", ""),
    Locality(),
)
ON = LocalityLbSetting(enabled=True)
OUTLIERS = OutlierDetection()
SERVICE = Service("a.shop.svc.cluster.local", "shop", "a")
NEAR = Service("a.shop.svc.cluster.local", "shop", "a", distribution=Distribution.SAME_NODE)


def place(rule: dict | None = None, service: Service = SERVICE, mesh: LocalityLbSetting = ON) -> PlaceSetting:
    return place_setting(LocalityLbSetting.model_validate(rule) if rule is not None else None, service, mesh)


def stand(locality=HERE, outliers=OUTLIERS, setting=None, **labels: str) -> Placement:
    return placement(locality, outliers, setting or place(), topology_labels(locality, "", "", "n1") | labels)


def endpoint(locality=HERE, node="", **labels: str) -> Endpoint:
    return Endpoint("10.0.0.1", 80, "http", "shop", labels, locality=locality, node=node)


def levels(where: Placement, *localities: Locality) -> list[int]:
    groups = [Group(0, locality) for locality in localities]
    found = priorities(where, groups)
    return [found[group] for group in groups]


def nearness(where: Placement, *endpoints: Endpoint) -> list[int]:
    groups = [group_of(where, item) for item in endpoints]
    found = priorities(where, groups)
    return [found[group] for group in groups]


def test_nearer_localities_come_first_and_levels_have_no_gaps():
    where = stand()
    assert levels(where, HERE, SIDE, ZONE, REGION) == [0, 1, 2, 3]
    assert levels(where, ZONE, REGION) == [0, 1]


def test_failover_names_the_region_that_takes_over():
    where = stand(setting=place({"enabled": True, "failover": [{"from": "eu", "to": "us"}]}))
    assert levels(where, HERE, REGION, FAR) == [0, 1, 2]


@pytest.mark.parametrize(
    "where",
    [
        stand(outliers=None),
        stand(setting=place({"enabled": False})),
        stand(setting=place({"enabled": False, "failoverPriority": ["tier"]})),
        stand(OTHER),
        stand(outliers=None, setting=place({"failoverPriority": ["tier"]})),
    ],
    ids=[
        "no outlier detection",
        "switched off",
        "switched off with labels",
        "the client's place is unknown",
        "labels without outlier detection",
    ],
)
def test_nobody_is_preferred_without(where):
    assert where == Placement()
    assert set(levels(where, HERE, REGION)) == {0}


def test_distribute_shares_by_the_first_entry_that_fits_and_empties_the_rest():
    setting = {
        "distribute": [{"from": "eu/west/*", "to": {"eu/west/*": 80, "us/*": 20}}, {"from": "*", "to": {"*": 100}}]
    }
    where = stand(outliers=None, setting=place(setting))
    here, side, region, far = (Group(0, item) for item in (HERE, SIDE, REGION, FAR))
    weights = {here: 1, side: 3, region: 2, far: 5}
    assert distributed(where, weights) == {here: 20, side: 60, region: 20, far: 0}


def test_labels_count_in_their_order_from_the_first_that_differs():
    where = stand(setting=place({"failoverPriority": ["tier", "version"]}), tier="gold", version="v1")
    both, first, second, neither = (
        endpoint(tier="gold", version="v1"),
        endpoint(tier="gold", version="v2"),
        endpoint(tier="iron", version="v1"),
        endpoint(),
    )
    assert nearness(where, both, first, second, neither) == [0, 1, 2, 2]


def test_a_value_in_the_rule_stands_for_the_clients_own():
    where = stand(setting=place({"failoverPriority": ["version=v2"]}), version="v1")
    assert nearness(where, endpoint(version="v1"), endpoint(version="v2")) == [1, 0]


def test_places_are_labels_too_and_regions_decide_among_equals():
    by_zone = stand(setting=place({"failoverPriority": ["topology.kubernetes.io/zone"]}))
    assert nearness(by_zone, endpoint(HERE), endpoint(SIDE), endpoint(ZONE), endpoint(FAR)) == [0, 0, 1, 1]
    also = {"failoverPriority": ["version"], "failover": [{"from": "eu", "to": "us"}]}
    refined = stand(setting=place(also), version="v1")
    old, far, farther = endpoint(HERE, version="v2"), endpoint(REGION, version="v1"), endpoint(FAR, version="v1")
    assert nearness(refined, far, farther, old) == [0, 1, 2]


def test_a_services_distribution_counts_without_outlier_detection_and_after_its_rule():
    where = stand(outliers=None, setting=place(service=NEAR), **{"kubernetes.io/hostname": "n1"})
    found = nearness(where, endpoint(HERE, "n1"), endpoint(HERE, "n2"), endpoint(SIDE), endpoint(ZONE), endpoint(FAR))
    assert found == [0, 1, 2, 3, 4]
    assert place(service=NEAR).has_weights(None)
    assert stand(outliers=None, setting=place({"enabled": True}, NEAR)) == Placement()
