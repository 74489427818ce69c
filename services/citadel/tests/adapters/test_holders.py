"""Services follow the bundle, and are replaced root and leaf by a rotation that they never hear of otherwise."""

import asyncio
import contextlib
from datetime import UTC, datetime

import grpc
import httpx
import pytest
from citadel.adapters.secret_discovery import SERVICE_NAME
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.runtime import tasks
from meshcore.tls import Bundle, LiveIdentity, TrustFollower, leads_to_first, load_identity, renewal
from meshcore.xds.types import SECRET_TYPE

SERVICES = ("galley", "pilot", "injector")


async def until(look, what):
    try:
        async with asyncio.timeout(60):
            while True:
                if found := await look():
                    return found
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not seen: {what}") from None


async def holders(citadel):
    items = (await citadel.get("/api/v1/ca/holders")).json()["items"]
    return {one["name"].split("/sa/")[1].split(" ")[0]: one for one in items}


@contextlib.asynccontextmanager
async def kept_current(citadel, names):
    """Services as they keep themselves."""
    found = {name: LiveIdentity.load(citadel.directory / name) for name in names}
    async with contextlib.AsyncExitStack() as stack:
        for name, identity in found.items():
            run = renewal.keep_current(identity, f"127.0.0.1:{citadel.port}", f"{name}-0")
            await stack.enter_async_context(tasks.background(run, name=name))
        yield found


async def test_a_rotation_replaces_what_every_service_believes_and_presents(citadel, monkeypatch):
    monkeypatch.setattr(renewal, "SETTLE", 0.0)
    before = load_identity(citadel.directory / "pilot")
    async with kept_current(citadel, (*SERVICES, "meshctl")) as identities:

        async def everybody():
            found = await holders(citadel)
            return set(found) == set(identities) and all(one["current"] for one in found.values())

        await until(everybody, "all follow")
        await citadel.post("/api/v1/ca/rotation", {})

        async def finished():
            return (await citadel.get("/api/v1/ca/rotation")).json()["phase"] is None

        await until(finished, "the rotation is finished")

        async def in_force():
            return len((await citadel.get("/api/v1/ca")).json()["roots"]) == 1

        # The database has it first; until Citadel uses it, who has both roots is current.
        await until(in_force, "the new root alone is in force")
        await until(everybody, "all have the new bundle only")
        root = (await citadel.get("/api/v1/trust-bundle")).json()["pem"].encode()
        for name, identity in identities.items():
            kept = load_identity(citadel.directory / name)
            assert kept == identity.current
            assert (kept.root, kept.spiffe.service_account) == (root, name)
            assert leads_to_first(kept.chain, root)
    assert before.root != root

    async def own_too():
        own = load_identity(citadel.directory / "citadel")
        return own.root == root and leads_to_first(own.chain, root)

    await until(own_too, "Citadel has the new root and a certificate of it")
    actions = [row["action"] for row in (await citadel.get("/api/v1/ca/audit")).json()["items"]]
    assert actions[0] == "rotation finished"


async def test_a_holder_that_refuses_the_bundle_holds_a_rotation_up(citadel):
    async def refuse(_: Bundle) -> str:
        return "no room for it"

    identity = load_identity(citadel.directory / "pilot")
    follower = TrustFollower(f"127.0.0.1:{citadel.port}", "pilot-0", lambda: identity, refuse)
    async with tasks.background(follower.run(), name="follower"):
        await until(lambda: holders(citadel), "the holder")
        assert not (await holders(citadel))["pilot"]["current"]
        begun = await citadel.post("/api/v1/ca/rotation", {})
        waiting = {one["name"]: one["reason"] for one in begun["waiting_for"]}
        pilot = "spiffe://cluster.local/ns/istio-system/sa/pilot pilot-0"
        assert waiting[pilot] == "has not confirmed the bundle with the new root"


async def test_who_says_farewell_is_no_holder_any_more(citadel):
    front = await citadel.identity_of("shop", "front")

    async def take(_: Bundle) -> str:
        return ""

    follower = TrustFollower(f"127.0.0.1:{citadel.port}", "front-1", lambda: front, take)
    async with tasks.background(follower.run(), name="follower"):

        async def confirmed():
            return (await holders(citadel)).get("front", {}).get("current")

        await until(confirmed, "the holder")
        await follower.release()

        async def gone():
            return "front" not in await holders(citadel)

        await until(gone, "the holder is gone")
    row = (await citadel.get(f"/api/v1/certificates/{front.certificate.serial_number:x}")).json()
    assert row["ended"] == "released"


async def test_who_breaks_off_stays_a_holder_that_is_away(citadel):
    front = await citadel.identity_of("shop", "front")
    async with citadel.channel(identity=front) as channel:
        call = channel.stream_stream(f"/{SERVICE_NAME}/DeltaSecrets")()
        first = discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, resource_names_subscribe=["ROOTCA"])
        first.node.id = "front-1"
        await call.write(first.SerializeToString())
        await call.read()
        call.cancel()

    async def away():
        found = (await holders(citadel)).get("front")
        return found is not None and not found["connected"]

    await until(away, "the holder is away")
    prospects = (await citadel.get("/api/v1/ca/rotation/prospects")).json()["items"]
    assert any(one["name"].endswith("/sa/front front-1") for one in prospects)


async def test_a_stream_ends_with_the_certificate_that_opened_it(citadel):
    for life in (2, 4, 8, 16):
        short = await citadel.identity_of("shop", "front", ttl=life)
        async with citadel.channel(identity=short) as channel, asyncio.timeout(60):
            call = channel.stream_stream(f"/{SERVICE_NAME}/DeltaSecrets")()
            if not await is_answered(call, short):
                continue
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK
            return
    pytest.fail("each certificate had expired before there was an answer")


async def is_answered(call, identity):
    """False where its certificate expired before, which a busy machine may take."""
    first = discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, resource_names_subscribe=["ROOTCA"])
    try:
        await call.write(first.SerializeToString())
        answered = await call.read() is not grpc.aio.EOF
    except grpc.aio.AioRpcError:
        answered = False
    assert answered or datetime.now(UTC) >= identity.not_after
    return answered


@pytest.mark.parametrize("path", ["/api/v1/ca/rotation", "/api/v1/ca", "/api/v1/ca/holders", "/api/v1/ca/audit"])
async def test_the_state_of_the_authority_is_for_known_callers_only(citadel, path):
    async with httpx.AsyncClient(timeout=60) as client:
        assert (await client.get(citadel.admin + path)).status_code == 401
        assert (await client.post(citadel.admin + "/api/v1/ca/rotation", json={})).status_code == 401
