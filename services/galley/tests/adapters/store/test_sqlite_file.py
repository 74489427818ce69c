"""What only SQLite has: one process per file, and files that are their owner's."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from galley.adapters.store import Store
from meshcore.errors import ErrorCode, MeshError

LENGTH = timedelta(seconds=10)


@pytest.fixture
async def store(tmp_path: Path):
    async with await Store.open(f"sqlite:///{tmp_path}/state/galley.db") as opened:
        yield opened


async def test_another_process_cannot_open_the_same_file(store: Store, tmp_path: Path):
    with pytest.raises(MeshError) as raised:
        await Store.open(f"sqlite:///{tmp_path}/state/galley.db")
    assert raised.value.code is ErrorCode.FAILED_PRECONDITION


async def test_the_files_are_their_owners_only(store: Store, tmp_path: Path):
    files = list((tmp_path / "state").glob("galley.db*"))
    assert len(files) == 4
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


async def test_a_lease_of_a_dead_process_is_free_at_once_since_the_file_had_only_one(store: Store):
    assert await store.acquire_lease("publisher", "a", LENGTH) == 1
    assert await store.acquire_lease("publisher", "b", LENGTH) == 2
    assert not await store.renew_lease("publisher", 1, LENGTH)
    assert await store.renew_lease("publisher", 2, LENGTH)
