"""What an analyzer is: a name, what it looks for, and a function from the set of objects to messages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from galley.core.analysis.inputs import Inputs
from galley.core.analysis.message import Message


@dataclass(frozen=True, slots=True)
class Moment:
    """What analysis needs from outside besides the objects: the time, in seconds since the epoch."""

    now: float = 0.0


@dataclass(frozen=True, slots=True)
class Analyzer:
    """One analyzer. `name` is the one that `--list-analyzers` shows, `alias` another that Istio's sources use."""

    name: str
    description: str
    run: Callable[[Inputs, Moment], Iterator[Message]]
    alias: str = ""

    def is_called(self, wanted: str) -> bool:
        """Whether it is meant by a name; the beginning of a name up to a dot means all that begin so."""
        return wanted in (self.name, self.alias) or any(
            name.startswith(f"{wanted}.") for name in (self.name, self.alias) if name
        )
