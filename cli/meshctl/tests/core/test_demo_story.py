import itertools

from meshctl.core.demo_story import CALLERS, MEASURED_CHANGES, STEPS, measured_change


def test_every_step_promises_the_whole_of_each_callers_answers() -> None:
    for step in STEPS:
        assert set(step.promise) == set(CALLERS)
        assert all(sum(shares.values()) == 1.0 for shares in step.promise.values())


def test_each_measured_change_differs_from_the_one_before() -> None:
    changes = [measured_change(number) for number in range(MEASURED_CHANGES)]
    assert all(one != other for one, other in itertools.pairwise(changes))
    for change in changes:
        weights = [route["weight"] for route in change["spec"]["http"][0]["route"]]
        assert sum(weights) == 100
        assert min(weights) > 0
