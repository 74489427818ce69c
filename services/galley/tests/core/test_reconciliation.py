from __future__ import annotations

from datetime import UTC, datetime

from galley.core.reconciliation import reconcile
from meshcore.distribution.records import encode_record, make_record

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def record(name: str, revision: int, value: int | None, store: str = "s"):
    key = f"core.services.default.{name}"
    return key, make_record(key, store, revision, None if value is None else {"v": value}, "", NOW)


def test_only_what_differs_is_written():
    truth = dict([record("same", 1, 1), record("newer", 5, 2), record("absent", 2, 1), record("torn", 2, 1)])
    bucket = {
        key: encode_record(made) for key, made in (record("same", 1, 1), record("newer", 4, 1), record("gone", 3, 1))
    }
    bucket["core.services.default.torn"] = b"{"
    bucket |= {key: encode_record(made) for key, made in (record("tombstone", 3, None),)}
    repair = reconcile(truth, bucket)
    assert [key.rsplit(".", 1)[1] for key, _ in repair.puts] == ["absent", "newer", "torn"]
    assert [key.rsplit(".", 1)[1] for key in repair.purges] == ["gone", "tombstone"]


def test_another_store_is_written_whole():
    truth = dict([record("a", 1, 1)])
    bucket = {key: encode_record(made) for key, made in (record("a", 1, 1, "old"),)}
    assert len(reconcile(truth, bucket).puts) == 1
    assert reconcile(truth, {key: encode_record(made) for key, made in truth.items()}).puts == ()
