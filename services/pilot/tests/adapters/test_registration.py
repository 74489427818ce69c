"""Registration over agents' streams: real NATS, real mTLS, a whole Pilot."""

import pytest
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.types import HEALTH_TYPE, NAME_TABLE_TYPE
from pilot.adapters.endpoints_bucket import BUCKET
from pilot.adapters.galley_api import TOKEN_FILE
from shop_objects import GROUP, SERVICE

HOST = "reviews.shop.svc.cluster.local"


def agent(address="127.0.0.9", group="reviews", name="reviews-1"):
    return node(name, "shop", address=address, GENERATOR="agent", AUTO_REGISTER_GROUP=group)


@pytest.fixture
async def published(galley):
    await galley.publish(SERVICE, GROUP)


@pytest.fixture
def agent_client(workload_credentials):
    def connect(running, who=None):
        return AdsClient(running.secure, who or agent(), workload_credentials(), types=[NAME_TABLE_TYPE])

    return connect


async def test_an_agent_registers_and_an_orderly_end_removes_at_once(published, pilot, agent_client, reached):
    async with pilot(registration_grace="10m") as running, agent_client(running) as client:
        await reached(lambda: running.endpoints(HOST) == {"127.0.0.9"})
        await client.until(lambda: client.names(NAME_TABLE_TYPE))
        await client.end()
        await reached(lambda: running.endpoints(HOST) == set())


async def test_health_takes_the_endpoint_out_and_the_agent_is_told(published, pilot, agent_client, reached):
    async with pilot() as running, agent_client(running) as client:
        await reached(lambda: running.endpoints(HOST) == {"127.0.0.9"})
        await client.ask(HEALTH_TYPE, error="draining")
        await client.until(lambda: any(r.type_url == HEALTH_TYPE for r in client.responses))
        assert running.endpoints(HOST) == set()
        await client.ask(HEALTH_TYPE)
        await reached(lambda: running.endpoints(HOST) == {"127.0.0.9"})


async def test_a_missing_group_is_refused_with_its_name(published, pilot, agent_client):
    async with pilot() as running, agent_client(running, agent(group="nobody")) as client:
        await client.until(lambda: client.ended)
        assert client.error.code().name == "FAILED_PRECONDITION"
        assert "shop/nobody" in client.error.details()


async def test_a_broken_stream_is_removed_after_the_grace_only(published, pilot, agent_client, reached):
    quick = {"registration_grace": "500ms", "registration_stable_after": "100ms"}
    async with pilot(**quick) as running:
        async with agent_client(running):
            await reached(lambda: running.endpoints(HOST) == {"127.0.0.9"})
        assert running.endpoints(HOST) == {"127.0.0.9"}
        await reached(lambda: running.endpoints(HOST) == set())


async def test_a_newer_connection_takes_the_entry_over(published, pilot, agent_client, reached):
    quick = {"registration_grace": "300ms", "registration_stable_after": "100ms"}
    async with pilot("pilot-1", **quick) as one, pilot("pilot-2", **quick) as two, agent_client(two) as newer:
        async with agent_client(one):
            await reached(lambda: one.endpoints(HOST) == {"127.0.0.9"})
            await newer.until(lambda: newer.names(NAME_TABLE_TYPE))
        entries = one.serving.registered._bucket
        async with agent_client(two) as newest:
            await newest.until(lambda: newest.names(NAME_TABLE_TYPE))
            await reached(lambda: entries.entries and entries.entries[0].owner == "pilot-2")
            # Past the grace of those of before.
            beats = one.serving.registered._beats
            await reached(lambda: one.serving.registered._beats >= beats + 4)
            assert two.endpoints(HOST) == {"127.0.0.9"}


async def test_the_mark_of_a_deleted_registration_is_taken_out_of_the_bucket(
    galley, published, pilot, agent_client, reached
):
    async def keys():
        store = await galley.bus.jetstream().key_value(BUCKET)
        info = await galley.bus.jetstream().stream_info(store._stream, subjects_filter=f"$KV.{BUCKET}.e.>")
        return len(info.state.subjects or {})

    async with pilot("pilot-1", registration_forgotten_after="300ms") as one, pilot("pilot-2") as two:
        for _ in range(2):
            async with agent_client(two) as client:
                await reached(lambda: one.endpoints(HOST) == two.endpoints(HOST) == {"127.0.0.9"})
                assert await keys() == 1
                await client.end()
            await reached(lambda: one.endpoints(HOST) == set() and not one.serving.registered._bucket._deleted)
            assert await keys() == 0
        await reached(lambda: one.serving.registered._bucket.instances(1.0) == {"pilot-1", "pilot-2"})


async def test_with_galley_away_workloads_register_all_the_same(published, pilot, agent_client, reached, tmp_path):
    async with pilot(galley_url="https://127.0.0.1:1") as running:
        (tmp_path / "pilot-1-identity" / TOKEN_FILE).write_text("token")
        registered = running.serving.registered
        async with agent_client(running) as client:
            await reached(lambda: running.endpoints(HOST) == {"127.0.0.9"})
            beats = registered._beats
            await reached(lambda: registered._beats >= beats + 3)  # as often was it tried to write its object
            assert running.endpoints(HOST) == {"127.0.0.9"}
            await client.end()
        await reached(lambda: running.endpoints(HOST) == set())


async def test_losing_nats_with_all_its_data_de_registers_nobody(nats, galley, published, pilot, agent_client, reached):
    quick = {"registration_grace": "500ms", "registration_stable_after": "1s"}
    async with pilot(**quick) as running, agent_client(running) as client:
        await reached(lambda: running.endpoints(HOST) == {"127.0.0.9"})
        registered = running.serving.registered
        before = registered._bus.generation
        nats.kill()
        nats.delete_store()
        nats.start()
        await reached(lambda: registered._bus.generation > before)
        await reached(lambda: registered._bucket.in_sync_since is not None and registered._stable_since is not None)
        # Longer than stability and grace together: whoever was to expire would have.
        beats = registered._beats
        await reached(lambda: registered._beats >= beats + 12)
        assert running.endpoints(HOST) == {"127.0.0.9"}
        assert not client.ended
        store = await galley.bus.jetstream().key_value(BUCKET)
        assert any(key.startswith("e.shop.") for key in await store.keys())


async def test_attack_43_nobody_registers_what_is_not_his(published, galley, pilot, workload_credentials, reached):
    """A group of another namespace, another account's, one by path, another namespace's node, no certificate at all."""
    foreign = GROUP | {"metadata": {"name": "vault", "namespace": "bank"}}
    admins = {"metadata": {"name": "admins", "namespace": "shop"}, "spec": {"template": {"serviceAccount": "admin"}}}
    async with pilot() as running:
        await galley.publish(foreign, GROUP | admins)
        groups = running.serving.hub.engine
        await reached(lambda: ("shop", "admins") in groups.snapshot.registry.groups)
        forged = {
            "vault": ("FAILED_PRECONDITION", "shop/vault"),
            "bank/vault": ("FAILED_PRECONDITION", "shop/bank/vault"),
            "../bank/vault": ("FAILED_PRECONDITION", "which does not exist"),
            "admins": ("PERMISSION_DENIED", "has service account default"),
        }
        for group, (code, words) in forged.items():
            async with AdsClient(running.secure, agent(group=group), workload_credentials()) as client:
                await client.until(lambda client=client: client.ended)
            assert (client.error.code().name, words in client.error.details()) == (code, True), group
        bank = node("a", "bank", address="127.0.0.9", GENERATOR="agent", AUTO_REGISTER_GROUP="vault")
        async with AdsClient(running.secure, bank, workload_credentials()) as client:
            await client.until(lambda: client.ended)
        assert client.error.code().name == "PERMISSION_DENIED"
        other = node("a", "shop", service_account="admin", GENERATOR="agent", AUTO_REGISTER_GROUP="admins")
        async with AdsClient(running.secure, other, workload_credentials()) as client:
            await client.until(lambda: client.ended)
        assert client.error.code().name == "PERMISSION_DENIED"
        async with (
            AdsClient(running.plaintext, agent(address="127.0.0.8"), types=[NAME_TABLE_TYPE]) as claimed,
            AdsClient(running.secure, agent(), workload_credentials(), types=[NAME_TABLE_TYPE]),
        ):
            await claimed.until(lambda: claimed.names(NAME_TABLE_TYPE))
            await reached(lambda: running.endpoints(HOST) == {"127.0.0.9"})
            assert [entry.key for entry in running.serving.registered._bucket.entries] == [
                ("shop", "reviews-127.0.0.9")
            ]


async def test_attack_43_a_revision_that_a_tenant_claims_changes_nothing(published, pilot, agent_client, reached):
    """Registered under its own group and account, whatever its labels say of revisions and of namespaces."""
    who = agent()
    who.metadata.fields["LABELS"].struct_value.update(
        {"istio.io/rev": "canary", "topology.istio.io/network": "x", "namespace": "bank", "app": "reviews"}
    )
    async with pilot() as running, agent_client(running, who):
        await reached(lambda: running.endpoints(HOST) == {"127.0.0.9"})
        [entry] = running.serving.registered._bucket.entries
        assert (entry.namespace, entry.group, entry.service_account) == ("shop", "reviews", "default")


async def test_attack_43_a_workload_entry_of_another_namespace_is_no_endpoint(galley, pilot, reached):
    """It has the labels of shop's service and the account of its workload, and is bank's all the same."""
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "spec": {"address": "10.9.9.9", "labels": {"app": "reviews"}, "serviceAccount": "default"},
    }
    honest = entry | {"spec": entry["spec"] | {"address": "10.1.1.1"}}
    await galley.publish(
        SERVICE,
        entry | {"metadata": {"name": "reviews-1", "namespace": "bank"}},
        honest | {"metadata": {"name": "reviews-1", "namespace": "shop"}},
    )
    async with pilot() as running:
        await reached(lambda: running.endpoints(HOST) == {"10.1.1.1"})
