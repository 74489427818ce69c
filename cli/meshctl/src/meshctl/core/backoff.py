"""How long a dead process waits before it is started again. Pure."""

from datetime import timedelta

FIRST = timedelta(milliseconds=200)
LONGEST = timedelta(seconds=15)
STEADY = timedelta(seconds=10)
"""A process that ran this long has recovered: its next restart begins at FIRST again."""


def restart_delay(failures: int) -> timedelta:
    """The wait before the restart after `failures` ends in a row (from 1): doubles from FIRST to LONGEST."""
    doublings = min(max(failures, 1) - 1, 16)
    return min(FIRST * (1 << doublings), LONGEST)


def failures_after(failures: int, ran: timedelta) -> int:
    """Ends in a row, now that the process ended again after running for `ran`."""
    return 1 if ran >= STEADY else failures + 1
