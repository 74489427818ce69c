"""How often one caller may ask: who asks for too much is told to come later, and nobody else waits for it."""

import time
from collections import OrderedDict

from meshcore.errors import ErrorCode, MeshError
from meshcore.rate import TokenBucket

from citadel.adapters import telemetry

MOST_CALLERS = 10_000
"""Buckets that are remembered; the one that was not used for the longest time goes first, and is full by then."""


class CallerLimits:
    """A bucket for each name; `rate` a second on average, `burst` at once. A rate of 0 limits nobody."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, name: str) -> None:
        """RESOURCE_EXHAUSTED when this caller has used up what it may."""
        if not self._rate:
            return
        now = time.monotonic()
        bucket = self._buckets.pop(name, None) or TokenBucket.full(self._rate, self._burst, now)
        self._buckets[name], wait = bucket.take(now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        if wait:
            telemetry.LIMITED.inc()
            raise MeshError(ErrorCode.RESOURCE_EXHAUSTED, f"too many requests, come again in {wait:.1f} s")
