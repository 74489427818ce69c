"""When to replace a certificate. Pure: time and jitter come in as arguments."""

from datetime import datetime, timedelta

GRACE_RATIO = 0.5
GRACE_JITTER = 0.01
LEAST_BETWEEN = 10.0
"""Seconds between two renewals that time alone asks for: what a signer near its end issues, or one whose clock is
behind, may be past half of its life when it comes."""


def rotation_time(
    not_before: datetime, not_after: datetime, ratio: float = GRACE_RATIO, jitter: float = 0.0
) -> datetime:
    """The moment at which `ratio` (+ `jitter`, the sum clamped to 0..1) of the life is still left.

    Istio's rule: notAfter - ratio x (notAfter - created); `created` is when it was received, or notBefore.
    """
    share = min(max(ratio + jitter, 0.0), 1.0)
    return not_after - share * max(not_after - not_before, timedelta())


def should_rotate(
    now: datetime, not_before: datetime, not_after: datetime, ratio: float = GRACE_RATIO, jitter: float = 0.0
) -> bool:
    """Whether the grace period has begun."""
    return now >= rotation_time(not_before, not_after, ratio, jitter)


def time_to_rotation(
    now: datetime, not_before: datetime, not_after: datetime, ratio: float = GRACE_RATIO, jitter: float = 0.0
) -> timedelta:
    """How long to wait from `now`; never negative (zero means at once)."""
    return max(rotation_time(not_before, not_after, ratio, jitter) - now, timedelta())
