"""A rotation over one database with two replicas: each step is taken once, and none before everybody is ready."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from citadel.adapters.audit_log import audit_page
from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.authority_source import RootFollower
from citadel.adapters.holders import Holders, read_holders
from citadel.adapters.issuer import Issuer
from citadel.adapters.ledger import Ledger
from citadel.adapters.root_rotation import RootRotation
from citadel.adapters.root_store import RootStore
from citadel.adapters.signers import active_signers
from citadel.adapters.tables import authority
from citadel.core.authority import make_root, to_pem
from citadel.core.caller import AuthenticatedCaller, Proof, serial_text
from citadel.core.profile import workload_profile
from citadel.core.rotation import Phase
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from meshcore.runtime import tasks
from sqlalchemy import delete, event, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

DAY = timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
FRONT = SpiffeId("cluster.local", "shop", "front")


class Replica:
    """One Citadel's parts, without its ports."""

    def __init__(self, engine, roots):
        self.engine = engine
        self.store = RootStore(engine, lambda: (bytes(32),))
        self.in_force = AuthorityInForce(roots.authority)
        self.follower = RootFollower(self.store, self.in_force, 10 * DAY, 20)
        self.rotation = RootRotation(self.store, 10 * DAY, self.follower.refresh)
        self.ledger = Ledger(engine)
        self.holders = Holders(engine)

    @classmethod
    async def start(cls, engine):
        store = RootStore(engine, lambda: (bytes(32),))
        return cls(engine, await store.ensure("cluster.local", 10 * DAY))

    async def issue(self, caller, ttl=DAY):
        issuer = Issuer(self.in_force, self.ledger.append)
        return await issuer.issue(caller, KEY, workload_profile(DAY, DAY), ttl, "test")


@pytest.fixture
async def replicas(engines):
    found = [await Replica.start(engine) for engine in engines]
    async with (
        tasks.background(found[0].ledger.run(), name="one"),
        tasks.background(found[1].ledger.run(), name="two"),
        tasks.background(found[0].holders.run(), name="three"),
        tasks.background(found[1].holders.run(), name="four"),
    ):
        yield found


def follows(replica, issued, node="front-1"):
    """A holder's stream with that certificate."""
    template = issued.template
    serial = serial_text(template.serial)
    return replica.holders.arrived(str(FRONT), node, serial, issued.signer, template.not_after)


async def written(replica, condition):
    async with asyncio.timeout(60):
        while True:
            async with replica.engine.connect() as connection:
                found = {one.node: one for one in await read_holders(connection)}
            if condition(found):
                return
            await asyncio.sleep(0.02)


async def test_attack_13_what_becomes_of_the_stored_root_the_one_in_memory_signs_on(replicas):
    """Deleted, of another key, torn: refused by the replica that is up, and by one that would start; then put back."""
    one, two = replicas
    before = one.in_force.current
    async with two.engine.begin() as connection:
        [row] = (await connection.execute(select(authority))).mappings().all()
    other = make_root(ec.generate_private_key(ec.SECP256R1()), "cluster.local", DAY, datetime.now(UTC), 9)
    foreign = to_pem(other.certificate)
    for change in ({"certificate": foreign}, {"certificate": "torn"}, {"sealed_key": b"torn"}):
        async with two.engine.begin() as connection:
            await connection.execute(update(authority).values(change))
        with pytest.raises(MeshError) as refused:
            await one.follower.refresh()
        assert refused.value.code is ErrorCode.FAILED_PRECONDITION
        with pytest.raises(MeshError):
            await RootStore(two.engine, lambda: (bytes(32),)).ensure("cluster.local", 10 * DAY)
        async with two.engine.begin() as connection:
            await connection.execute(update(authority).values(dict(row)))
    async with two.engine.begin() as connection:
        await connection.execute(delete(authority))
    assert await one.follower.refresh() is None
    assert one.in_force.current is before
    issued = await one.issue(AuthenticatedCaller(FRONT, Proof.TOKEN))
    assert issued.signer == before.key_id
    async with two.engine.begin() as connection:
        await connection.execute(insert(authority).values(dict(row)))
    assert (await one.follower.refresh()).authority.key_id == before.key_id
    assert one.in_force.current is before


async def test_attack_13_a_database_that_takes_no_writes_leaves_the_root_as_it_is(replicas):
    one, two = replicas
    before = one.in_force.current

    @event.listens_for(one.engine.sync_engine, "connect")
    def read_only(connection, _):
        cursor = connection.cursor()
        words = "PRAGMA query_only = ON" if one.engine.dialect.name == "sqlite" else READ_ONLY
        cursor.execute(words)
        cursor.close()

    await one.engine.dispose()
    with pytest.raises(SQLAlchemyError):
        await one.rotation.begin("admin", [], None)
    with contextlib.suppress(SQLAlchemyError):
        await one.follower.refresh()
    assert one.in_force.current is before
    await two.follower.refresh()
    assert (await two.rotation.standing()).phase is None
    event.remove(one.engine.sync_engine, "connect", read_only)


READ_ONLY = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"


async def test_the_whole_way_with_one_holder(replicas):
    one, two = replicas
    old = one.in_force.current
    issued = await one.issue(AuthenticatedCaller(FRONT, Proof.TOKEN))
    stream = follows(one, issued)
    await written(one, lambda found: "front-1" in found)
    await one.rotation.begin("admin", [], None)
    assert one.in_force.current.key_id == old.key_id
    assert len(one.in_force.current.roots) == 2
    assert not await two.rotation.step()
    standing = await two.rotation.standing()
    assert standing.phase is Phase.DISTRIBUTING
    assert [item.name for item in standing.waiting_for] == [f"{FRONT} front-1"]

    one.holders.acknowledged(str(FRONT), "front-1", stream, one.in_force.current.bundle_digest)
    await written(one, lambda found: found["front-1"].bundle == one.in_force.current.bundle_digest)
    taken = await asyncio.gather(one.rotation.step(), two.rotation.step())
    assert taken.count(True) == 1
    for replica in replicas:
        await replica.follower.refresh()
        assert replica.in_force.current.key_id != old.key_id
        assert replica.in_force.current.roots[1] == old.certificate

    assert not await one.rotation.step()
    renewed = await two.issue(
        AuthenticatedCaller(FRONT, Proof.CERTIFICATE, proof_serial=serial_text(issued.template.serial))
    )
    one.holders.left(str(FRONT), "front-1", stream, released=False)
    follows(two, renewed)
    await written(two, lambda found: found["front-1"].signer == renewed.signer)
    taken = await asyncio.gather(one.rotation.step(), two.rotation.step())
    assert taken.count(True) == 1
    for replica in replicas:
        await replica.follower.refresh()
        assert replica.in_force.current.roots == (replica.in_force.current.certificate,)
        assert (await replica.rotation.standing()).phase is None
    assert set(await active_signers(one.engine)) == {renewed.signer}
    done = [row["action"] for row in (await audit_page(one.engine, 100, None)).items]
    assert done == ["rotation finished", "rotation: the new root signs", "rotation begun", "root made"]


async def test_a_killed_citadel_goes_on_where_it_was(replicas):
    """Attack 13."""
    one, two = replicas
    await one.rotation.begin("admin", [], None)
    fresh = await Replica.start(two.engine)
    assert len(fresh.in_force.current.roots) == 2
    assert await fresh.rotation.step()
    again = await Replica.start(one.engine)
    assert again.in_force.current.key_id == fresh.in_force.current.key_id
    assert await again.rotation.step()
    assert (await again.rotation.standing()).phase is None


async def test_a_replica_that_missed_it_all_records_nothing_under_the_dropped_root(replicas):
    one, late = replicas
    await one.rotation.begin("admin", [], None)
    assert await one.rotation.step()
    assert await one.rotation.step()
    with pytest.raises(MeshError) as refused:
        await late.issue(AuthenticatedCaller(FRONT, Proof.TOKEN))
    assert refused.value.code is ErrorCode.UNAVAILABLE
    await late.follower.refresh()
    assert (await late.issue(AuthenticatedCaller(FRONT, Proof.TOKEN))).signer == one.in_force.current.key_id


async def test_a_leaf_of_the_old_root_that_was_recorded_last_is_waited_for(replicas):
    one, late = replicas
    await one.rotation.begin("admin", [], None)
    assert await one.rotation.step()
    await late.issue(AuthenticatedCaller(FRONT, Proof.TOKEN))  # this replica has not seen the switch yet
    assert not await one.rotation.step()
    waiting = (await one.rotation.standing()).waiting_for
    assert [item.reason for item in waiting] == [
        "does not follow the bundle: it counts until it is renewed or has expired"
    ]


async def test_what_nobody_will_do_any_more_can_be_passed_over(replicas):
    one, two = replicas
    issued = await one.issue(AuthenticatedCaller(FRONT, Proof.TOKEN))
    one.holders.left(str(FRONT), "front-1", follows(one, issued), released=False)
    await written(one, lambda found: found.get("front-1") and not found["front-1"].connected)
    prospects = await one.rotation.prospects()
    assert [(item.name, item.absent) for item in prospects] == [(f"{FRONT} front-1", False)]
    await one.rotation.begin("admin", [], None)
    assert not await one.rotation.step()
    await two.rotation.begin("operator", [f"{FRONT} front-1"], None)
    assert await one.rotation.step()
    assert await two.rotation.step()
    actions = {row["action"]: row["actor"] for row in (await audit_page(one.engine, 100, None)).items}
    assert actions["rotation: not waited for"] == "operator"


async def test_who_leaves_in_good_order_is_not_waited_for(replicas):
    one, _ = replicas
    issued = await one.issue(AuthenticatedCaller(FRONT, Proof.TOKEN))
    stream = follows(one, issued)
    await written(one, lambda found: "front-1" in found)
    one.holders.left(str(FRONT), "front-1", stream, released=True)
    await written(one, lambda found: not found)
    await one.rotation.begin("admin", [], None)
    assert await one.rotation.step()


async def test_a_new_certificate_of_a_holder_ends_the_former_one(replicas):
    """An agent that lost its certificate comes with a token again; its node says that it is the same one."""
    one, _ = replicas
    first, second = [await one.issue(AuthenticatedCaller(FRONT, Proof.TOKEN)) for _ in range(2)]
    follows(one, first)
    await written(one, lambda found: "front-1" in found)
    follows(one, second)
    serial = serial_text(second.template.serial)
    await written(one, lambda found: found["front-1"].serial == serial)
    assert (await one.ledger.find(serial_text(first.template.serial)))["ended"] == serial


async def test_the_end_of_a_stream_that_another_followed_says_nothing(replicas):
    one, _ = replicas
    issued = await one.issue(AuthenticatedCaller(FRONT, Proof.TOKEN))
    former, _ = follows(one, issued), follows(one, issued)
    one.holders.left(str(FRONT), "front-1", former, released=True)
    one.holders.acknowledged(str(FRONT), "front-1", former, "somebody else's")
    await written(one, lambda found: found.get("front-1") and found["front-1"].connected)
    async with one.engine.connect() as connection:
        assert [item.bundle for item in await read_holders(connection)] == [""]


async def test_a_late_word_of_another_replica_about_a_former_certificate_says_nothing(replicas):
    one, two = replicas
    first, second = [await one.issue(AuthenticatedCaller(FRONT, Proof.TOKEN)) for _ in range(2)]
    stream = follows(one, first)
    await written(one, lambda found: "front-1" in found)
    follows(two, second)
    serial = serial_text(second.template.serial)
    await written(two, lambda found: found["front-1"].serial == serial)
    one.holders.left(str(FRONT), "front-1", stream, released=True)
    one.holders.arrived(str(FRONT), "other", "0", "0", datetime.now(UTC))
    await written(one, lambda found: "other" in found)
    assert (await one.ledger.find(serial))["ended"] is None
    await written(one, lambda found: found["front-1"].serial == serial and found["front-1"].connected)


async def test_a_rotation_can_be_given_up_while_the_new_root_signs_nothing(replicas):
    one, two = replicas
    with pytest.raises(MeshError, match="no rotation"):
        await one.rotation.abort("admin")
    old = one.in_force.current
    await one.rotation.begin("admin", [], None)
    await two.rotation.abort("admin")
    await one.follower.refresh()
    assert one.in_force.current.roots == old.roots
    await one.rotation.begin("admin", [], "rsa")
    assert await one.rotation.step()
    with pytest.raises(MeshError, match="signs already"):
        await two.rotation.abort("admin")
    assert isinstance(one.in_force.current.key, rsa.RSAPrivateKey)


async def test_two_that_begin_at_once_make_one_successor(replicas):
    """Attack 13."""
    one, two = replicas
    await asyncio.gather(one.rotation.begin("a", [], None), two.rotation.begin("b", ["x"], None))
    for replica in replicas:
        await replica.follower.refresh()
    assert one.in_force.current.roots == two.in_force.current.roots
    assert len(one.in_force.current.roots) == 2


async def test_a_root_near_its_end_is_renewed_once_and_old_leaves_stay_good(engines):
    store = RootStore(engines[0], lambda: (bytes(32),))
    await store.ensure("cluster.local", timedelta())  # all of its life is over: it is in the last fifth
    replicas = [await Replica.start(engine) for engine in engines]
    before = replicas[0].in_force.current
    renewed = await asyncio.gather(*(replica.follower.renew_if_due() for replica in replicas))
    assert renewed.count(True) == 1
    for replica in replicas:
        await replica.follower.refresh()
        after = replica.in_force.current
        assert (after.key_id, after.certificate != before.certificate) == (before.key_id, True)
        assert after.certificate.not_valid_after_utc > datetime.now(UTC) + 9 * DAY
        assert len(after.roots) == 1
    assert not await replicas[0].follower.renew_if_due()


async def test_a_root_is_not_renewed_while_it_is_rotated(engines):
    one = await Replica.start(engines[0])
    await one.rotation.begin("admin", [], None)
    roots = await one.store.load()
    assert not await one.store.renew(roots, DAY)
