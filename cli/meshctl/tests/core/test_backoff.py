from datetime import timedelta

from meshctl.core.backoff import FIRST, LONGEST, STEADY, failures_after, restart_delay


def test_the_delay_doubles_up_to_its_longest() -> None:
    assert [restart_delay(n) for n in (1, 2, 3)] == [FIRST, FIRST * 2, FIRST * 4]
    assert restart_delay(100) == LONGEST


def test_a_steady_run_forgives_earlier_failures() -> None:
    assert failures_after(5, timedelta(seconds=1)) == 6
    assert failures_after(5, STEADY) == 1
