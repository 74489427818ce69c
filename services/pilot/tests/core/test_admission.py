"""New streams wait in line, by turns of their clients; only what is over a hard ceiling is refused."""

from hypothesis import given
from hypothesis import strategies as st
from pilot.core.admission import PATIENCE, Admission
from pilot.core.concurrency import FIRST, LATE, LEAST, MOST


def test_streams_are_admitted_in_order_as_others_finish():
    admission = Admission(at_once=2)
    for stream in (1, 2, 3, 4):
        assert admission.arrived(stream, str(stream), 0.0) is None
    assert admission.admitted(0.0) == [1, 2]
    assert admission.admitted(0.0) == []
    assert (admission.backlog, admission.busy) == (2, 2)
    admission.finished(1)
    assert admission.admitted(0.0) == [3]


def test_the_rate_ceiling_delays_and_then_refuses():
    admission = Admission(per_second=2)
    assert [admission.arrived(stream, "a", 0.0) for stream in range(5)] == [None, None, None, 3, 4]
    assert admission.admitted(0.0) == [0]
    assert admission.next_start == 0.5
    assert admission.admitted(0.5) == [1]
    assert admission.arrived(9, "a", 5.0) is None


def test_over_the_rate_ceiling_the_one_that_asks_most_is_refused_first():
    admission = Admission(per_second=4)
    for stream in range(5):
        assert admission.arrived(stream, "greedy", 0.0) is None
    assert admission.admitted(0.0) == [0]
    assert admission.arrived(5, "greedy", 0.0) == 5
    assert admission.arrived(6, "b", 0.0) == 4, "who asks less takes the last place of one that asks more"
    assert admission.arrived(7, "c", 0.0) == 3
    assert admission.arrived(8, "b", 0.0) == 8
    assert admission.backlog == 4
    assert [admission.admitted(start / 4) for start in range(1, 5)] == [[1], [2], [7], [6]]
    assert admission.next_start is None


def test_the_line_goes_by_turns_of_its_clients():
    admission = Admission(at_once=4)
    for stream in range(1, 9):
        admission.arrived(stream, "greedy", 0.0)
    admission.arrived(9, "b", 0.0)
    admission.arrived(10, "b", 0.0)
    admission.arrived(11, "c", 0.0)
    assert admission.admitted(0.0) == [1, 9, 11, 2]
    admission.finished(9)
    admission.finished(11)
    assert admission.admitted(0.0) == [10, 3]


def test_one_client_never_has_all_places():
    admission = Admission(at_once=4)
    for stream in range(1, 9):
        admission.arrived(stream, "greedy", 0.0)
    assert admission.admitted(0.0) == [1, 2, 3]
    assert admission.next_start == PATIENCE
    for step in range(20):
        for stream in (1, 2, 3):
            admission.heard(stream, float(step))
        admission.arrived(100 + step, "b", float(step))
        assert admission.admitted(float(step)) == [100 + step]
        admission.finished(100 + step)
    admission.heard(1, 20.5)
    assert admission.admitted(19.0 + PATIENCE) == [4, 5]
    assert (admission.busy, admission.backlog) == (3, 3)


def test_who_says_nothing_gives_its_place_to_one_that_waits():
    admission = Admission(at_once=2)
    for stream in (1, 2, 3, 4, 5):
        admission.arrived(stream, str(stream), 0.0)
    assert admission.admitted(0.0) == [1, 2]
    admission.heard(1, 0.5)
    assert admission.next_start == PATIENCE
    assert admission.admitted(PATIENCE) == [3]
    assert admission.admitted(PATIENCE) == []
    assert admission.admitted(PATIENCE + 0.5) == [4]
    admission.heard(1, 2.0)
    admission.finished(2)
    assert (admission.busy, admission.backlog) == (2, 1), "who has given its place up has none to give back"
    admission.finished(3)
    assert admission.admitted(PATIENCE + 0.5) == [5]
    assert admission.next_start is None


def test_a_stream_that_leaves_while_it_waits_is_forgotten():
    admission = Admission(at_once=1)
    admission.arrived(1, "a", 0.0)
    admission.arrived(2, "a", 0.0)
    admission.finished(2)
    assert admission.admitted(0.0) == [1]
    assert admission.backlog == 0


def test_as_many_are_served_as_the_process_takes_without_being_late():
    admission = Admission()
    for stream in range(2 * MOST):
        admission.arrived(stream, str(stream), 0.0)
    assert len(admission.admitted(0.0)) == FIRST
    for _ in range(100):
        admission.looked(0.0)
        admission.admitted(0.0)
    assert admission.busy == admission.limit == MOST
    for _ in range(100):
        admission.looked(2 * LATE)
    assert admission.limit == LEAST
    assert admission.admitted(0.0) == []
    for stream in range(MOST - LEAST):
        admission.finished(stream)
    assert admission.admitted(0.0) == []
    admission.finished(MOST - LEAST)
    assert len(admission.admitted(0.0)) == 1


def test_what_one_client_had_when_there_were_more_places_keeps_nobody_out():
    admission = Admission()
    for stream in range(2 * MOST):
        admission.arrived(stream, "greedy", 0.0)
    for _ in range(100):
        admission.admitted(0.0)
        admission.looked(0.0)
    for _ in range(100):
        admission.looked(2 * LATE)
    assert admission.busy > 10 * admission.limit
    for stream in range(admission.busy):
        admission.heard(stream, 0.5)
    admission.arrived(-1, "b", 0.5)
    admission.arrived(-2, "c", 0.5)
    admission.arrived(-3, "d", 0.5)
    assert admission.admitted(0.5) == [-1, -2], "as many places as the greedy one may not have now"
    assert admission.next_start > 0.5


def test_a_limit_that_keeps_nobody_out_is_left_alone_and_begins_anew_when_nobody_waits():
    admission = Admission()
    admission.arrived(1, "a", 0.0)
    admission.looked(0.0)
    assert admission.limit == FIRST
    for stream in range(2, 2 * FIRST):
        admission.arrived(stream, "a", 0.0)
    for _ in range(20):
        admission.looked(2 * LATE)
    assert admission.limit == LEAST
    for stream in range(1, 2 * FIRST):
        admission.finished(stream)
    admission.looked(2 * LATE)
    assert admission.limit == FIRST


@given(st.lists(st.sampled_from(["arrive", "finish"]), max_size=60))
def test_without_a_ceiling_nobody_is_refused_and_all_are_served_in_order(steps):
    admission = Admission(at_once=3)
    arrived, served = 0, []
    for step in steps:
        if step == "arrive":
            arrived += 1
            assert admission.arrived(arrived, str(arrived), 0.0) is None
        elif served:
            admission.finished(served[0])
        served += admission.admitted(0.0)
        assert admission.busy <= 3
    for stream in range(1, arrived + 1):
        admission.finished(served[stream - 1] if stream <= len(served) else stream)
        served += admission.admitted(0.0)
    assert served == sorted(served)
