"""Lone changes go out at once, bursts are held, and never for longer than the limit."""

from hypothesis import given
from hypothesis import strategies as st
from pilot.core.debounce import Debounce


def test_a_lone_event_is_due_at_once():
    debounce = Debounce(0.1, 10)
    debounce.event(5.0)
    assert debounce.due == 5.0


def test_an_event_soon_after_the_last_waits_for_quiet():
    debounce = Debounce(0.1, 10)
    debounce.event(5.0)
    debounce.taken()
    debounce.event(5.05)
    assert debounce.due == 5.05 + 0.1
    debounce.event(5.1)
    assert debounce.due == 5.1 + 0.1


def test_after_quiet_an_event_is_alone_again():
    debounce = Debounce(0.1, 10)
    debounce.event(5.0)
    debounce.taken()
    debounce.event(5.2)
    assert debounce.due == 5.2


def test_an_event_that_comes_when_all_before_it_has_arrived_is_alone_too_but_for_some_space():
    debounce = Debounce(0.1, 10)
    debounce.event(5.0, settled=True)
    debounce.taken()
    debounce.event(5.01, settled=True)
    assert debounce.due == 5.025
    debounce.taken()
    debounce.event(5.06, settled=True)
    assert debounce.due == 5.06


def test_a_burst_is_gathered_although_what_was_before_it_has_arrived():
    debounce = Debounce(0.1, 10)
    debounce.event(5.0, settled=True)
    debounce.taken()
    for number in range(1, 10):
        debounce.event(5.0 + number / 100, settled=number == 1)
    assert debounce.due == 5.09 + 0.1
    debounce.event(5.1, settled=True)
    assert debounce.due == 5.1 + 0.1, "a burst that is held is held whole"


def test_nothing_is_due_when_everything_was_taken():
    debounce = Debounce(0.1, 10)
    debounce.event(5.0)
    debounce.taken()
    assert debounce.due is None
    assert debounce.waiting_since is None


@given(st.lists(st.floats(0, 0.09), min_size=1, max_size=300))
def test_a_burst_is_never_held_beyond_the_limit(gaps):
    debounce = Debounce(0.1, 1.0)
    now = first = 100.0
    for gap in gaps:
        now += gap
        debounce.event(now)
        assert debounce.due is not None
        assert debounce.due <= max(first + gaps[0] + 1.0, now)
        if debounce.due <= now:
            break
