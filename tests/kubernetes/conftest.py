"""A real Kubernetes API server with our CRDs, and a Galley that takes its config from there and is its webhook."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from api_server import ApiServer
from meshcore.testing.addresses import claim
from meshcore.testing.galley import GalleyProcess, running
from meshcore.testing.nats import NatsServer, nats_server

CRDS = Path(__file__).parents[2] / "deploy" / "crds"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """The server with every definition of `deploy/crds`."""
    with claim() as block:
        server = ApiServer(tmp_path_factory.mktemp("kubernetes"), block.address(1), block.address(2))
        try:
            server.start()
            with server.client() as client:
                for path in sorted(CRDS.glob("*.yaml")):
                    made = client.post(DEFINITIONS, json=yaml.safe_load(path.read_text()))
                    assert made.status_code == 201, f"{path.name}: {made.text}"
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as started:
        yield started


@pytest.fixture(scope="session")
def galley(
    tmp_path_factory: pytest.TempPathFactory, api_server: ApiServer, nats: NatsServer
) -> Iterator[GalleyProcess]:
    """Galley with the server as its source."""
    settings = {"GALLEY_KUBECONFIG": str(api_server.kubeconfig)}
    with (
        claim() as block,
        running(
            GalleyProcess(tmp_path_factory.mktemp("galley"), block.address(1), nats_url=nats.url, settings=settings)
        ) as started,
    ):
        yield started
