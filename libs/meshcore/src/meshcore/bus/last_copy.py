"""The consumer's last copy on disk: what it serves when it starts while NATS or Galley is away. Mode 0600, replaced
whole."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from meshcore.distribution.records import RecordError
from meshcore.distribution.state_copy import StateCopy, decode_state, encode_state

_log = structlog.get_logger("feed")


def read_last_copy(path: Path) -> StateCopy | None:
    """The copy, or None when there is none or it is not whole."""
    try:
        return decode_state(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, RecordError) as error:
        _log.warning("last copy is not usable", path=str(path), reason=str(error))
        return None


def write_last_copy(path: Path, state: StateCopy) -> None:
    """Replace the copy; a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(encode_state(state))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
