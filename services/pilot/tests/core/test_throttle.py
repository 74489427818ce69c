"""Pushes go on up to a ceiling; the others take their turns."""

from hypothesis import given
from hypothesis import strategies as st
from pilot.core.throttle import Throttle


def test_without_a_ceiling_all_go_on_at_once():
    throttle = Throttle()
    assert all(throttle.begins(stream) for stream in range(100))
    assert throttle.ends(1) is None


def test_over_the_ceiling_pushes_wait_in_order_and_are_told():
    throttle = Throttle(2)
    assert [throttle.begins(stream) for stream in (1, 2, 3, 4)] == [True, True, False, False]
    assert list(throttle._waiting) == [3, 4]
    assert throttle.begins(1), "a push that goes on may bring more"
    assert throttle.ends(9) is None
    assert throttle.ends(2) == 3
    assert not throttle.begins(5)
    assert throttle.begins(3)
    assert throttle.left(4) is None
    assert throttle.left(1) == 5


@given(st.lists(st.tuples(st.sampled_from("bel"), st.integers(1, 6)), max_size=60))
def test_the_ceiling_holds_and_nobody_waits_while_a_place_is_free(steps):
    throttle = Throttle(2)
    for what, stream in steps:
        match what:
            case "b":
                throttle.begins(stream)
            case "e":
                throttle.ends(stream)
            case _:
                throttle.left(stream)
        assert len(throttle._going) <= 2
        assert not throttle._waiting or len(throttle._going) == 2
        assert not throttle._going & throttle._waiting.keys()
