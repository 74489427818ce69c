from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from meshcore.bus.last_copy import read_last_copy, write_last_copy
from meshcore.distribution.digest import SetDigest
from meshcore.distribution.records import make_record
from meshcore.distribution.state_copy import StateCopy


def state(revision: int, key: str = "core.services.default.a") -> StateCopy:
    record = make_record(key, "s", revision, {"spec": revision}, "", datetime(2026, 3, 1, tzinfo=UTC))
    total = SetDigest()
    total.add(record.digest)
    return StateCopy("s", 1, revision, str(total), {key: record})


def test_a_copy_is_replaced_whole_and_is_its_owners_only(tmp_path: Path):
    path = tmp_path / "state" / "config"
    assert read_last_copy(path) is None
    for revision in (1, 2):
        write_last_copy(path, state(revision))
        assert read_last_copy(path) == state(revision)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["config"]


def test_a_torn_copy_is_no_copy(tmp_path: Path):
    path = tmp_path / "config"
    write_last_copy(path, state(1))
    path.write_bytes(path.read_bytes()[:-3])
    assert read_last_copy(path) is None


@pytest.mark.parametrize("key", ["core.services.default.a.b", "core..default.a", "core.services.default.=41", "\u00e4"])
def test_a_copy_with_keys_that_are_none_is_no_copy(tmp_path: Path, key: str):
    """As another version may have written it: whole by its digest, and nothing that could be shown."""
    path = tmp_path / "config"
    write_last_copy(path, state(1, key))
    assert read_last_copy(path) is None
