import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from citadel.adapters.access_log import AccessLog, Batch
from citadel.adapters.access_log_reads import Wanted, access_behind, access_page, reporters
from citadel.adapters.access_tables import access_batch, access_record
from citadel.adapters.database import open_database
from citadel.core.access_report import rows_of
from meshcore._generated.meshcore.audit.v1 import audit_pb2
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from meshcore.runtime import tasks
from meshcore.testing.postgres import postgres_server
from sqlalchemy import func, select, text

SHOP = SpiffeId("cluster.local", "shop", "front")
BANK = SpiffeId("cluster.local", "bank", "till")
WEEK = timedelta(days=7)


@pytest.fixture(scope="module")
def postgres():
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'citadel.db'}"
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture
async def engines(url):
    """Two replicas over one database."""
    opened = await asyncio.gather(open_database(url), open_database(url))
    yield opened
    for engine in opened:
        await engine.dispose()


@pytest.fixture
async def log(engines):
    access_log = AccessLog(engines[0], retention=WEEK, most_rows=1000)
    async with tasks.background(access_log.run(), name="access log"), asyncio.timeout(60):
        yield access_log


def batch(name: str, *records: dict, identity: SpiffeId = SHOP, lost: int = 0, age: timedelta = timedelta()) -> Batch:
    request = audit_pb2.ReportRequest(
        batch_id=name.ljust(16, "-"), node_id=f"sidecar~10.0.0.7~front-1.{identity.namespace}~x"
    )
    for fields in records:
        request.records.append(audit_pb2.AccessRecord(**({"verdict": audit_pb2.DENIED} | fields)))
    now = datetime.now(UTC) - age
    return Batch(str(identity), request.batch_id, rows_of(request, identity, now), lost, now)


def paths(page) -> list[str]:
    return [row["path"] for row in page.items]


async def rows(engine, table) -> int:
    async with engine.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(table))


async def test_a_batch_is_stored_once_however_often_and_wherever_it_is_sent(engines, log):
    other = AccessLog(engines[1], retention=WEEK, most_rows=1000)
    async with tasks.background(other.run(), name="other replica"):
        one = batch("one", {"path": "/a"}, {"path": "/b"})
        stored = await asyncio.gather(*(replica.append(one) for replica in (log, other, log, other)))
    assert sorted(stored) == [0, 0, 0, 2]
    assert paths(await access_page(engines[1], Wanted(), 10, None)) == ["/b", "/a"]


async def test_reporters_do_not_share_batch_ids(engines, log):
    assert await log.append(batch("same", {"path": "/a"})) == 1
    assert await log.append(batch("same", {"path": "/b"}, identity=BANK)) == 1


async def test_records_are_found_by_caller_verdict_and_policy(engines, log):
    caller = "spiffe://cluster.local/ns/shop/sa/caller"
    closed = audit_pb2.PolicyRule(namespace="shop", name="closed")
    watched = audit_pb2.PolicyRule(namespace="istio-system", name="watch_all")
    await log.append(
        batch(
            "one",
            {"path": "/denied", "principal": caller, "policy": closed},
            {"path": "/both", "policy": closed, "audit_policy": watched},
            {"path": "/audited", "verdict": audit_pb2.AUDITED, "audit_policy": watched},
            {
                "path": "/other",
                "verdict": audit_pb2.ALLOWED,
                "policy": audit_pb2.PolicyRule(namespace="a", name="Xall"),
            },
        )
    )
    await log.append(batch("two", {"path": "/bank", "verdict": audit_pb2.ALLOWED}, identity=BANK))

    async def found(**wanted) -> set[str]:
        return set(paths(await access_page(engines[0], Wanted(**wanted), 100, None)))

    assert await found() == {"/denied", "/both", "/audited", "/other", "/bank"}
    assert await found(principal=caller) == {"/denied"}
    assert await found(principal="cluster.local/ns/shop/sa/caller") == {"/denied"}
    assert await found(verdict="denied") == {"/denied", "/both"}
    assert await found(verdict="audited") == {"/audited"}
    assert await found(policy="shop/closed") == {"/denied", "/both"}
    assert await found(policy="watch_all") == {"/both", "/audited"}
    assert await found(policy="all") == set()
    assert await found(verdict="denied", policy="istio-system/watch_all") == {"/both"}
    assert await found(reporter=str(BANK)) == {"/bank"}
    assert await found(until=datetime.now(UTC) - timedelta(hours=1)) == set()
    assert await found(since=datetime.now(UTC) - timedelta(hours=1), verdict="allowed") == {"/other", "/bank"}


async def test_pages_neither_repeat_nor_hide_a_record_while_more_arrive(engines, log):
    await log.append(batch("old", *({"path": f"/{number}"} for number in range(5))))
    first = await access_page(engines[0], Wanted(), 2, None)
    await log.append(batch("new", {"path": "/new"}))
    second = await access_page(engines[0], Wanted(), 2, first.continue_)
    third = await access_page(engines[0], Wanted(), 2, second.continue_)
    assert paths(first) + paths(second) + paths(third) == ["/4", "/3", "/2", "/1", "/0"]
    assert third.continue_ is None
    followed = await access_behind(engines[0], Wanted(), 10, first.items[0]["id"])
    assert paths(followed) == ["/new"]
    assert paths(await access_behind(engines[0], Wanted(), 10, int(followed.continue_))) == []


async def test_a_position_of_nowhere_is_refused(engines):
    for nowhere in ("x", "-1", "1.5", "9" * 19, "9" * 400, "\u0661"):
        with pytest.raises(MeshError) as refused:
            await access_page(engines[0], Wanted(), 10, nowhere)
        assert refused.value.code is ErrorCode.INVALID


async def test_a_full_log_forgets_the_oldest_and_takes_the_new(engines):
    access_log = AccessLog(engines[0], retention=WEEK, most_rows=10)
    async with tasks.background(access_log.run(), name="access log"), asyncio.timeout(60):
        for number in range(8):
            await access_log.append(batch(f"batch-{number}", *({"path": f"/{number}-{at}"} for at in range(4))))
            assert await rows(engines[0], access_record) <= 10
    assert paths(await access_page(engines[0], Wanted(), 100, None))[:5] == ["/7-3", "/7-2", "/7-1", "/7-0", "/6-3"]
    assert await rows(engines[0], access_record) == 10


async def test_old_records_are_forgotten_in_steps_and_old_batches_too(engines, log, monkeypatch):
    monkeypatch.setattr("citadel.adapters.access_log._FORGOTTEN_AT_ONCE", 2)
    await log.append(batch("old", *({"path": f"/{at}"} for at in range(5)), age=timedelta(days=8)))
    await log.append(batch("new", {"path": "/new"}))
    assert await log.forget(datetime.now(UTC)) == 5
    assert paths(await access_page(engines[0], Wanted(), 10, None)) == ["/new"]
    assert await rows(engines[0], access_batch) == 1
    # A number is never given again, so who follows the log misses nothing.
    assert (await access_page(engines[0], Wanted(), 10, None)).items[0]["id"] == 6


async def test_losses_are_summed_by_identity(engines, log):
    await log.append(batch("one", {"path": "/a"}, lost=3))
    await log.append(batch("two", lost=4))
    await log.append(batch("two", lost=4))
    await log.append(batch("one", {"path": "/a"}, identity=BANK))
    page = await reporters(engines[0], 1, None)
    rest = await reporters(engines[0], 10, page.continue_)
    found = [(row["reporter"], row["records"], row["lost"]) for row in [*page.items, *rest.items]]
    assert found == [(str(BANK), 1, 0), (str(SHOP), 1, 7)]
    assert rest.continue_ is None


async def test_a_disk_that_is_full_refuses_batches_and_takes_them_when_there_is_room(tmp_path):
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'citadel.db'}")
    access_log = AccessLog(engine, retention=WEEK, most_rows=10**6)
    large = [{"path": f"/{at}".ljust(500, "x")} for at in range(100)]
    try:
        async with engine.connect() as connection:  # the pool has one connection, so the limit holds for all
            pages = (await connection.execute(text("PRAGMA page_count"))).scalar()
            await connection.execute(text(f"PRAGMA max_page_count = {pages + 3}"))
        async with tasks.background(access_log.run(), name="access log"), asyncio.timeout(60):
            with pytest.raises(MeshError) as refused:
                await access_log.append(batch("one", *large))
            assert refused.value.code is ErrorCode.UNAVAILABLE
            assert await rows(engine, access_record) == 0
            async with engine.connect() as connection:
                await connection.execute(text("PRAGMA max_page_count = 100000"))
            assert await access_log.append(batch("one", *large)) == 100
    finally:
        await engine.dispose()


async def test_a_log_that_is_too_far_behind_refuses(engines, monkeypatch):
    monkeypatch.setattr("citadel.adapters.access_log.QUEUE_LIMIT", 1)
    access_log = AccessLog(engines[0], retention=WEEK, most_rows=10)
    waiting = asyncio.ensure_future(access_log.append(batch("one", {"path": "/a"})))
    await asyncio.sleep(0)
    with pytest.raises(MeshError) as refused:
        await access_log.append(batch("two", {"path": "/b"}))
    assert refused.value.code is ErrorCode.RESOURCE_EXHAUSTED
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
