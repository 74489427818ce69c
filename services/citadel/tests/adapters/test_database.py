import asyncio
import contextlib
import sqlite3
from datetime import timedelta
from types import SimpleNamespace

import pytest
from citadel.adapters import database
from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.database import open_database
from citadel.adapters.issuer import Issuer
from citadel.adapters.ledger import Ledger
from citadel.adapters.root_store import RootStore
from citadel.adapters.tables import metadata
from citadel.core.caller import AuthenticatedCaller, Proof
from citadel.core.profile import workload_profile
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from meshcore.runtime import tasks
from sqlalchemy import inspect, text

KEK = bytes(32)
DAY = timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
FRONT = AuthenticatedCaller(SpiffeId("cluster.local", "shop", "front"), Proof.TOKEN)


def store(engine) -> RootStore:
    return RootStore(engine, lambda: (KEK,))


async def authority(engine) -> AuthorityInForce:
    return AuthorityInForce((await store(engine).ensure("cluster.local", 10 * DAY)).authority)


async def test_the_migrated_schema_is_the_declared_one(engines):
    async with engines[0].connect() as connection:
        found = await connection.run_sync(
            lambda sync: {
                table.name: {column["name"] for column in inspect(sync).get_columns(table.name)}
                for table in metadata.tables.values()
            }
        )
    assert found == {table.name: {column.name for column in table.columns} for table in metadata.tables.values()}


async def test_two_replicas_make_one_root_and_both_read_it_again(engines):
    assert await store(engines[0]).load() is None
    made = await asyncio.gather(*(store(engine).ensure("cluster.local", 10 * DAY) for engine in engines))
    roots = [one.root for one in made]
    again = (await store(engines[1]).load()).root
    assert roots[0].certificate == roots[1].certificate == again.certificate
    assert again.key.private_numbers() == roots[0].key.private_numbers()


async def test_certificates_of_both_replicas_are_in_one_ledger(engines):
    root = await authority(engines[0])
    ledgers = [Ledger(engine) for engine in engines]
    issuers = [Issuer(root, ledger.append) for ledger in ledgers]
    profile = workload_profile(DAY, DAY)
    async with tasks.background(ledgers[0].run(), name="one"), tasks.background(ledgers[1].run(), name="two"):
        issued = await asyncio.gather(*(issuers[n % 2].issue(FRONT, KEY, profile, DAY, "test") for n in range(30)))
    page = await ledgers[0].page(str(FRONT.identity), 100, None)
    assert {row["serial"] for row in page.items} == {f"{one.template.serial:032x}" for one in issued}


async def test_rows_are_kept_for_a_while_after_the_certificate_has_expired(engines):
    root = await authority(engines[0])
    ledger = Ledger(engines[0])
    await Issuer(root, ledger.write).issue(FRONT, KEY, workload_profile(DAY, DAY), timedelta(seconds=-60), "test")
    assert (await ledger.page(None, 10, None)).items == []
    assert await ledger.forget(timedelta(hours=1)) == 0
    assert await ledger.forget(timedelta()) == 1


async def test_a_ledger_that_is_too_far_behind_refuses(engines):
    root = await authority(engines[0])
    ledger = Ledger(engines[0])
    ledger._queue = asyncio.Queue(1)
    issuer = Issuer(root, ledger.append)
    waiting = asyncio.ensure_future(issuer.issue(FRONT, KEY, workload_profile(DAY, DAY), DAY, "test"))
    await asyncio.sleep(0)
    with pytest.raises(MeshError) as refused:
        await issuer.issue(FRONT, KEY, workload_profile(DAY, DAY), DAY, "test")
    assert refused.value.code is ErrorCode.RESOURCE_EXHAUSTED
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_sqlite_commits_survive_a_power_failure(tmp_path):
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'citadel.db'}")
    async with engine.connect() as connection:
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar() == 2
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
    await engine.dispose()
    assert (tmp_path / "citadel.db").stat().st_mode & 0o777 == 0o600


async def test_a_database_that_refuses_connections_answers_every_waiting_request(tmp_path, monkeypatch):
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'citadel.db'}")
    ledger = Ledger(engine)

    async def refused(rows):
        raise ConnectionRefusedError  # as asyncpg has it: not one of SQLAlchemy's errors

    monkeypatch.setattr(ledger, "_commit", refused)
    issuer = Issuer(await authority(engine), ledger.append)
    try:
        async with tasks.background(ledger.run(), name="ledger"), asyncio.timeout(60):
            with pytest.raises(MeshError) as failed:
                await issuer.issue(FRONT, KEY, workload_profile(DAY, DAY), DAY, "test")
    finally:
        await engine.dispose()
    assert failed.value.code is ErrorCode.UNAVAILABLE


async def test_whoever_opens_a_file_waits_for_another_that_changes_all_of_it(tmp_path, monkeypatch):
    """SQLite itself waits for nobody here, and a busy disk may take more than a second."""
    path = tmp_path / "citadel.db"
    pauses = []
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as another:
        another.execute("BEGIN IMMEDIATE")

        def pause(seconds):
            pauses.append(seconds)
            if sum(pauses) > 5:
                another.rollback()

        monkeypatch.setattr(database, "time", SimpleNamespace(sleep=pause))
        engine = await open_database(f"sqlite+aiosqlite:///{path}")
    await engine.dispose()
    assert sum(pauses) > 5


async def test_several_that_open_one_new_file_at_once_wait_for_each_other(tmp_path):
    for number in range(20):
        url = f"sqlite+aiosqlite:///{tmp_path / f'{number}.db'}"
        for engine in await asyncio.gather(*(open_database(url) for _ in range(3))):
            async with engine.connect() as connection:
                assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
            await engine.dispose()
