"""What a convergence receipt says, in the words that the command line prints. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Convergence:
    """One revision: `took` is Galley's commit to the last ACK, `waiting` the proxies still out."""

    revision: int
    complete: bool
    proxies: int
    took: timedelta
    waiting: tuple[str, ...]
    failed: tuple[str, ...]


def read_receipt(document: Mapping[str, Any]) -> Convergence:
    """A receipt of Pilot's `/api/v1/changes/{revision}/receipt`."""
    raise NotImplementedError(document)
