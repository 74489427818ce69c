"""Where the time of a push went."""

import pytest
from pilot.core.pace import CompileLog, Pace, Stage


def test_stages_add_up_and_begin_anew_with_the_next_push():
    pace = Pace()
    for stage, now in (
        (Stage.QUEUE, 1.0),
        (Stage.COMPILE, 2.0),
        (Stage.SEND, 4.0),
        (Stage.ACK, 4.5),
        (Stage.SEND, 5.0),
    ):
        pace.enters(stage, now)
    assert pace.spent(7.0) == {Stage.QUEUE: 1.0, Stage.COMPILE: 2.0, Stage.SEND: 2.5, Stage.ACK: 0.5}
    pace.ends()
    assert pace.spent(8.0) == {}
    pace.enters(Stage.QUEUE, 9.0)
    assert pace.spent(9.5) == {Stage.QUEUE: 0.5}


def test_compiles_since_a_moment_count_and_those_before_do_not():
    compiles = CompileLog()
    assert compiles.seconds_since(0.0, 1.0) == 0.0
    compiles.note(1.0, 3.0)
    compiles.note(4.0, 5.0)
    assert compiles.seconds_since(0.5, 6.0) == 3.0
    assert compiles.seconds_since(3.0, 6.0) == 1.0
    assert compiles.seconds_since(5.0, 6.0) == 0.0
    # One that was under way already counts at most for the time since.
    assert compiles.seconds_since(4.8, 5.0) == pytest.approx(0.2)


def test_the_log_of_compiles_is_bounded_and_right_for_what_it_keeps():
    compiles = CompileLog()
    for number in range(10_000):
        compiles.note(number, number + 0.5)
    assert compiles.seconds_since(9_990.0, 10_000.0) == 5.0
    assert len(compiles._ends) < 2_000
