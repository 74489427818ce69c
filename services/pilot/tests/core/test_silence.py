"""When a worker that does not answer is taken for one that hangs."""

from pilot.core.silence import LATE, Silence


def looks(silence, start, count, every=1.1):
    """So many looks on time without an answer; whether each says that it is too long."""
    return [silence.missed(start + every * number, every) for number in range(1, count + 1)]


def test_a_worker_that_answered_once_may_be_silent_for_the_bound_and_no_longer():
    silence = Silence(30, now=0)
    silence.answered(100)
    found = looks(silence, 100, 28)
    assert found == [False] * 27 + [True]
    assert 30 < silence.seconds < 31


def test_an_answer_ends_the_silence():
    silence = Silence(5, now=0)
    silence.answered(0)
    looks(silence, 0, 4)
    silence.answered(5)
    assert silence.seconds == 0
    assert looks(silence, 5, 4) == [False] * 4


def test_a_worker_that_is_still_starting_is_left_alone():
    silence = Silence(5, now=0)
    assert not any(looks(silence, 0, 100))


def test_what_the_asker_slept_through_does_not_count():
    silence = Silence(5, now=0)
    silence.answered(0)
    assert not silence.missed(3_600, 1.1)
    assert silence.seconds == 0
    assert looks(silence, 3_600, 5) == [False] * 4 + [True]


def test_an_asker_that_has_no_processor_counts_nothing_however_often_it_is_late():
    silence = Silence(5, now=0)
    silence.answered(0)
    late = 1.1 + LATE + 0.1
    assert not any(silence.missed(late * number, 1.1) for number in range(1, 100))


def test_without_a_bound_no_silence_is_too_long():
    silence = Silence(0, now=0)
    silence.answered(0)
    assert not any(looks(silence, 0, 100))
