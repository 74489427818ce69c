"""Changes of config as a feed brings them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """A published object."""

    revision: int
    object: dict[str, Any]
    deleted: bool = False


@dataclass(frozen=True)
class Change:
    """One object that came."""

    key: tuple[str, str, str, str]
    record: Record
