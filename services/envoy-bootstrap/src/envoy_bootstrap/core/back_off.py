"""How long to wait before the next try. Pure: randomness is an argument."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackOff:
    """Exponential with jitter; seconds. `delay(attempt, u)` for attempt 0, 1, ... and u uniform in [0, 1)."""

    first: float
    longest: float
    jitter: float = 0.1

    def delay(self, attempt: int, uniform: float) -> float:
        """Seconds to wait, spread by +/- `jitter` of itself so that a fleet does not return in step."""
        # 2**32 is beyond any `longest`; larger powers would overflow a float.
        base = min(self.longest, self.first * 2.0 ** min(attempt, 32))
        return base * (1 + self.jitter * (2 * uniform - 1))


CA_TRIES = 5
CA_BACK_OFF = BackOff(first=0.1, longest=1.6)
"""One round of Istio's CA client: five tries from 100 ms."""

RENEWAL_BACK_OFF = BackOff(first=0.5, longest=30.0, jitter=0.2)
"""Between rounds, for ever: the last good pair is served meanwhile."""

PILOT_BACK_OFF = BackOff(first=0.1, longest=1.0, jitter=0.5)
"""Of the agent's own stream; as quick as Envoy's own retries, so that both return together."""

AUDIT_BACK_OFF = BackOff(first=0.5, longest=10.0, jitter=0.5)
"""Between reports that Citadel did not take."""

PULL_BACK_OFF = BackOff(first=1.0, longest=120.0, jitter=0.5)
"""Between tries to pull a Wasm module."""

CRASH_BACK_OFF = BackOff(first=0.1, longest=10.0, jitter=0.2)
"""Between starts of an Envoy that ends by itself."""
