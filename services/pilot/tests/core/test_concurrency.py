"""As many new streams are served at once as the process takes without being late."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pilot.core.concurrency import FIRST, LATE, LEAST, MOST, Concurrency


def after(looks: int, late: Callable[[int], float], ceiling: int = 0) -> Concurrency:
    """Where it goes when that many streams at once make the process so late."""
    concurrency = Concurrency(ceiling)
    for _ in range(looks):
        concurrency.looked(late(concurrency.limit), short=True)
    return concurrency


def test_it_grows_to_the_most_while_the_process_is_in_time():
    assert Concurrency().limit == FIRST
    assert after(200, lambda _: 0.0).limit == MOST


def test_it_falls_to_the_least_and_no_further_while_the_process_is_late():
    assert after(200, lambda _: 1.0).limit == LEAST


@pytest.mark.parametrize("bearable", [10, 40, 100, 400])
def test_it_finds_what_a_machine_bears_whatever_that_is(bearable):
    concurrency = after(300, lambda limit: LATE * limit / bearable)
    seen = set()
    for _ in range(100):
        concurrency.looked(LATE * concurrency.limit / bearable, short=True)
        seen.add(concurrency.limit)
    assert bearable * 0.85 <= min(seen) <= max(seen) <= bearable * 1.15


def test_it_follows_a_machine_that_becomes_slower_and_faster():
    concurrency = after(200, lambda limit: LATE * limit / 200)
    for bearable in (20, 200):
        for _ in range(100):
            concurrency.looked(LATE * concurrency.limit / bearable, short=True)
        assert bearable * 0.85 <= concurrency.limit <= bearable * 1.15


def test_a_long_piece_of_work_now_and_then_is_no_reason_to_let_in_fewer():
    concurrency = Concurrency()
    for look in range(300):
        concurrency.looked(0.5 if look % 4 == 0 else 0.0, short=True)
    assert concurrency.limit > MOST / 2


def test_a_limit_that_keeps_nobody_out_stays():
    concurrency = Concurrency()
    for _ in range(100):
        concurrency.looked(0.0, short=False)
    assert concurrency.limit == FIRST


def test_what_was_found_out_is_forgotten_when_nobody_waits():
    concurrency = after(200, lambda _: 1.0)
    concurrency.rested()
    assert concurrency.limit == FIRST


@pytest.mark.parametrize("ceiling", [1, 3, FIRST, 100, 10 * MOST])
@given(looks=st.lists(st.tuples(st.sampled_from([0.0, LATE, 2 * LATE, 10.0]), st.booleans()), max_size=300))
def test_no_ceiling_is_ever_passed_and_somebody_is_always_served(ceiling, looks):
    concurrency = Concurrency(ceiling)
    for late, short in looks:
        concurrency.looked(late, short=short)
        assert min(LEAST, ceiling) <= concurrency.limit <= min(ceiling, MOST) == concurrency.most
