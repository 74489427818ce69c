"""A token bucket without a clock: the caller brings the time. Pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """`rate` tokens per second, at most `burst` saved; `level` tokens at time `at` (seconds of any steady clock)."""

    rate: float
    burst: float
    level: float
    at: float

    @classmethod
    def full(cls, rate: float, burst: float, now: float) -> "TokenBucket":
        """A bucket that nobody has drawn from."""
        return cls(rate, burst, burst, now)

    def take(self, now: float) -> tuple["TokenBucket", float]:
        """The bucket afterwards, and 0 when a token was there, else the seconds until one will be."""
        level = min(self.burst, self.level + max(0.0, now - self.at) * self.rate)
        if level >= 1:
            return replace(self, level=level - 1, at=now), 0.0
        return replace(self, level=level, at=now), (1 - level) / self.rate

    def charge(self, tokens: float) -> "TokenBucket":
        """The bucket after something turned out to cost more; what is owed must be refilled before the next token."""
        return replace(self, level=self.level - max(0.0, tokens))
