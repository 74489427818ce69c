"""Bounds are read from the parts that hold to them, and each says which variable it came from or why there is none."""

import pytest
from pilot.adapters.in_force import asked_of
from pilot.adapters.serving import hub_of
from pilot.core.concurrency import FIRST
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.in_force import bounds
from pilot.settings import PilotSettings


def found(settings, endpoint_debounce=0.1):
    engine = Engine(lambda *_: None, lambda *_: True, Debounce(0.1, 10), Debounce(endpoint_debounce, endpoint_debounce))
    hub = hub_of(settings, engine)
    lanes = engine.config_lane.debounce, engine.endpoint_lane.debounce
    return {one.name: one for one in bounds(asked_of(settings), hub.admission, hub.throttle, *lanes)}


def test_without_any_variable_nothing_bounds_and_each_reason_says_so():
    made = found(PilotSettings())
    assert {name: one.value for name, one in made.items()} == {
        "push_throttle": None,
        "new_streams_per_second": None,
        "admission_limit": FIRST,
        "debounce_after": 0.1,
        "debounce_max": 10,
        "endpoint_debounce": 0.1,
        "workers": 1,
    }
    assert made["push_throttle"].reason.startswith("PILOT_PUSH_THROTTLE is not set: adaptive")
    assert made["new_streams_per_second"].reason.startswith("PILOT_MAX_REQUESTS_PER_SECOND is not set: adaptive")
    assert made["admission_limit"].reason.startswith("adaptive")
    assert made["debounce_after"].reason == "PILOT_DEBOUNCE_AFTER is not set: Istio's default"
    assert made["workers"].reason == "PILOT_WORKERS is not set: one process serves"


def test_zero_is_adaptive_as_unset_is_and_said_to_be_set():
    made = found(PilotSettings(push_throttle=0, max_requests_per_second=0))
    assert made["push_throttle"].value is made["new_streams_per_second"].value is None
    assert made["push_throttle"].reason.startswith("PILOT_PUSH_THROTTLE=0: adaptive")
    assert made["new_streams_per_second"].reason.startswith("PILOT_MAX_REQUESTS_PER_SECOND=0: adaptive")


def test_a_number_is_a_ceiling_of_pushes_and_of_first_configs():
    made = found(PilotSettings(push_throttle=10, max_requests_per_second=2.5))
    assert (made["push_throttle"].value, made["admission_limit"].value) == (10, 10)
    assert made["push_throttle"].reason == made["admission_limit"].reason == "PILOT_PUSH_THROTTLE=10: a hard ceiling"
    assert made["new_streams_per_second"].value == 2.5
    assert made["new_streams_per_second"].reason == "PILOT_MAX_REQUESTS_PER_SECOND=2.5: a hard ceiling"


def test_a_ceiling_that_is_not_reached_is_how_far_it_may_go():
    made = found(PilotSettings(push_throttle=100))
    assert (made["push_throttle"].value, made["admission_limit"].value) == (100, FIRST)
    assert made["admission_limit"].reason.startswith("adaptive")
    assert made["admission_limit"].reason.endswith("100 at most (PILOT_PUSH_THROTTLE=100: a hard ceiling)")


@pytest.mark.parametrize(("throttle", "share", "more"), [(100, 50, ""), (1, 1, ", at least one each")])
def test_workers_share_the_ceilings(throttle, share, more):
    settings = PilotSettings(push_throttle=throttle, max_requests_per_second=30, workers=2, worker=1)
    made = found(settings)
    assert made["push_throttle"].value == share
    assert made["push_throttle"].reason == f"PILOT_PUSH_THROTTLE={throttle}: a hard ceiling shared by 2 workers{more}"
    assert made["new_streams_per_second"].value == 15
    assert made["workers"].value == 2
    assert made["workers"].reason == "PILOT_WORKERS=2, or --workers 2"


def test_durations_are_said_as_operators_write_them(monkeypatch):
    monkeypatch.setenv("PILOT_DEBOUNCE_AFTER", "250ms")
    monkeypatch.setenv("PILOT_ENABLE_EDS_DEBOUNCE", "false")
    asked = asked_of(PilotSettings())
    assert str(asked.after) == "PILOT_DEBOUNCE_AFTER=0.25s"
    assert str(asked.longest) == "PILOT_DEBOUNCE_MAX is not set"
    made = found(PilotSettings(), endpoint_debounce=0.0)
    assert made["endpoint_debounce"].value is None
    assert made["endpoint_debounce"].reason == "PILOT_ENABLE_EDS_DEBOUNCE=false: each change of endpoints goes at once"
