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
    repair = reconcile("s", truth, bucket)
    assert [key.rsplit(".", 1)[1] for key, _ in repair.puts] == ["absent", "newer", "torn"]
    assert [key.rsplit(".", 1)[1] for key in repair.purges] == ["gone"]
    assert repair.tombstones == ()


def test_tombstones_stay_until_every_consumer_has_seen_them():
    (young, made), (old, of_another) = record("young", 3, None), record("old", 3, None, "old")
    repair = reconcile("s", {}, {young: encode_record(made), old: encode_record(of_another)})
    assert repair.puts == ()
    assert repair.tombstones == ((young, 3),)
    assert repair.purges == (old,)


def test_a_tombstone_of_what_is_there_again_is_written_over():
    (key, gone), (_, back) = record("a", 3, None), record("a", 4, 1)
    repair = reconcile("s", {key: back}, {key: encode_record(gone)})
    assert [key for key, _ in repair.puts] == [key]
    assert (repair.purges, repair.tombstones) == ((), ())


def test_another_store_is_written_whole():
    truth = dict([record("a", 1, 1)])
    bucket = {key: encode_record(made) for key, made in (record("a", 1, 1, "old"),)}
    assert len(reconcile("s", truth, bucket).puts) == 1
    assert reconcile("s", truth, {key: encode_record(made) for key, made in truth.items()}).puts == ()
