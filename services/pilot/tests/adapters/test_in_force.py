"""What a serving process says of itself: where its config comes from and how true it is, and how its proxies stand."""

from datetime import UTC, datetime

from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE
from pilot.core.status import Standing, standing

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "reviews", "namespace": "shop"},
    "spec": {"ports": [{"name": "http", "port": 80}], "clusterIP": "10.0.0.1"},
}


async def told(running):
    gathered = await running.source.ask("in_force", {}, 0)
    (row,) = gathered.answers["pilot-1"]
    return row


def age(text):
    return (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()


async def test_config_from_the_bus_is_as_of_the_newest_head(galley, pilot):
    revision = await galley.publish(NAMESPACE)
    async with pilot() as running:
        config = (await told(running))["config"]
        assert (config["source"], config["revision"]) == ("bus", revision)
        assert config["connected"]
        assert config["in_sync"]
        assert config["store"]
        assert age(config["taken_at"]) >= 0
        assert age(config["as_of"]) >= 0
        before = config["generation"]
        revision = await galley.publish(SERVICE)
        await running.receipt(revision)
        config = (await told(running))["config"]
        assert config["revision"] == revision
        assert config["generation"] > before


async def test_config_from_the_disk_is_as_of_when_it_was_written(nats, galley, pilot, tmp_path):
    revision = await galley.publish(NAMESPACE)
    async with pilot():
        pass
    nats.kill()
    async with pilot() as running:
        config = (await told(running))["config"]
    assert (config["source"], config["revision"]) == ("disk", revision)
    assert not config["connected"]
    assert not config["in_sync"]
    written = (tmp_path / "pilot-1-state" / "config.copy").stat().st_mtime
    assert config["as_of"] == datetime.fromtimestamp(written, UTC).isoformat(timespec="milliseconds")


async def test_proxies_are_counted_by_how_they_stand(galley, pilot, workload_credentials, reached):
    await galley.publish(NAMESPACE)
    async with pilot() as running:
        credentials = workload_credentials()
        refusing = AdsClient(running.secure, node("b", "shop"), credentials)
        refusing.refuse[LISTENER_TYPE] = "not to my taste"
        silent = AdsClient(running.secure, node("c", "shop"), credentials)
        async with AdsClient(running.secure, node("a", "shop"), credentials) as good, refusing, silent:
            for client in (good, silent):
                await client.until(lambda client=client: client.names(LISTENER_TYPE))
            silent.silent.add(CLUSTER_TYPE)
            await galley.publish(SERVICE)

            engine = running.serving.hub.engine

            def stand():
                return sorted(one for stream in engine.streams.values() if (one := standing(engine, stream)))

            await reached(lambda: stand() == [Standing.PENDING, Standing.REFUSING, Standing.SYNCED])
            proxies = (await told(running))["proxies"]
            assert proxies == {"connected": 3, "synced": 1, "refusing": 1, "starting": 0, "waiting": 0}
