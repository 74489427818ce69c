"""Localities: who is preferred, who takes over, and how weights are shared out."""

import pytest
from meshcore.model.destination_rule import LocalityLbSetting, OutlierDetection
from pilot.core.compiler.priorities import Placement, distributed, placement, priorities
from pilot.core.registry import Locality

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


def test_nearer_localities_come_first_and_levels_have_no_gaps():
    where = placement(HERE, OUTLIERS, None, ON)
    assert priorities(where, [HERE, SIDE, ZONE, REGION]) == {HERE: 0, SIDE: 1, ZONE: 2, REGION: 3}
    assert priorities(where, [ZONE, REGION]) == {ZONE: 0, REGION: 1}


def test_failover_names_the_region_that_takes_over():
    setting = LocalityLbSetting.model_validate({"enabled": True, "failover": [{"from": "eu", "to": "us"}]})
    where = placement(HERE, OUTLIERS, setting, ON)
    assert priorities(where, [HERE, REGION, FAR]) == {HERE: 0, REGION: 1, FAR: 2}


@pytest.mark.parametrize(
    "where",
    [
        placement(HERE, None, None, ON),
        placement(HERE, OUTLIERS, LocalityLbSetting(enabled=False), ON),
        placement(OTHER, OUTLIERS, None, ON),
    ],
    ids=["no outlier detection", "switched off", "the client's place is unknown"],
)
def test_nobody_is_preferred_without(where):
    assert where == Placement()
    assert set(priorities(where, [HERE, REGION]).values()) == {0}


def test_distribute_shares_by_the_first_entry_that_fits_and_empties_the_rest():
    setting = LocalityLbSetting.model_validate(
        {"distribute": [{"from": "eu/west/*", "to": {"eu/west/*": 80, "us/*": 20}}, {"from": "*", "to": {"*": 100}}]}
    )
    where = placement(HERE, None, setting, ON)
    assert distributed(where, {HERE: 1, SIDE: 3, REGION: 2, FAR: 5}) == {HERE: 20, SIDE: 60, REGION: 20, FAR: 0}
