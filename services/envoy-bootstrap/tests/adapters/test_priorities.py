"""The agent's socket as the second priority of Envoy's xDS cluster, also where Pilot is behind a name."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.secret.v3 import sds_pb2_grpc
from envoy_bootstrap.adapters.local_discovery import (
    Discovery,
    LastGoodService,
    SecretService,
    start_server,
    stop_server,
)
from envoy_bootstrap.adapters.pilot_addresses import PilotAddresses
from envoy_bootstrap.core.addresses import HostPort, UnixSocket
from envoy_bootstrap.core.bootstrap import BootstrapInputs, render_bootstrap
from envoy_bootstrap.core.discovery import Resources
from envoy_bootstrap.core.secrets_resources import secrets_of
from meshcore.testing import addresses
from meshcore.testing.envoy import running_envoy
from meshcore.testing.identity import make_ca
from meshcore.xds.types import CLUSTER_TYPE


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="mc-"))
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("pilot_host", ["127.0.0.2", "localhost"])
async def test_envoy_is_live_from_the_agents_socket_when_pilot_is_away(
    directory: Path, pilot_host: str, make_resource: Any
) -> None:
    cluster = make_resource(CLUSTER_TYPE, {"name": "kept", "connect_timeout": "1s"})
    snapshot: Resources = {CLUSTER_TYPE: {"kept": cluster}}
    secrets = Discovery()
    secrets.replace(secrets_of(make_ca().issue("spiffe://cluster.local/ns/shop/sa/front")))

    async def kept() -> Resources:
        return snapshot

    service = LastGoodService(Discovery(), kept, lambda: False)
    sds = await start_server(
        directory / "sds.sock",
        lambda server: sds_pb2_grpc.add_SecretDiscoveryServiceServicer_to_server(SecretService(secrets), server),
    )
    ads = await start_server(
        directory / "ads.sock",
        lambda server: ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(service, server),
    )
    with addresses.claim() as claim:
        inputs = BootstrapInputs(
            node={"id": "sidecar~10.0.0.1~front.shop~shop.svc.cluster.local", "cluster": "front.shop"},
            pilot=HostPort(pilot_host, 1),
            pilot_endpoints=str(directory / "endpoints.json"),
            pilot_sans=("spiffe://cluster.local/ns/istio-system/sa/pilot",),
            agent_ads=UnixSocket(str(directory / "ads.sock")),
            agent_sds=UnixSocket(str(directory / "sds.sock")),
            agent_audit=UnixSocket(str(directory / "audit.sock")),
            agent_extensions=UnixSocket(str(directory / "ecds.sock")),
            admin=UnixSocket(str(directory / "envoy.sock"), mode=0o600),
            status=HostPort(claim.address(1), 15020),
            listen_host=claim.address(1),
        )
        await PilotAddresses(inputs.pilot, inputs.agent_ads, directory / "endpoints.json").refresh()
        try:
            async with running_envoy(render_bootstrap(inputs), directory) as envoy:
                await envoy.wait_live()
                assert "kept::" in await envoy.get("/clusters")
        finally:
            await stop_server(ads, directory / "ads.sock")
            await stop_server(sds, directory / "sds.sock")
