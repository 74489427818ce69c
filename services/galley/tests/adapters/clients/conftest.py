"""A real Galley process and the kubeconfig that leads to it: what the stock Python clients are given."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from meshcore.testing.addresses import claim
from meshcore.testing.galley import TOKEN, GalleyProcess, running
from meshctl.core import mesh_objects

_NUMBERS = count()


@pytest.fixture(scope="session")
def galley(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GalleyProcess]:
    """One Galley for all clients; each test has a namespace of its own in it."""
    with claim() as block, running(GalleyProcess(tmp_path_factory.mktemp("galley"), block.address(1))) as started:
        yield started


@pytest.fixture(scope="session")
def kubeconfig(galley: GalleyProcess) -> Path:
    """What `meshctl up` writes."""
    content = mesh_objects.kubeconfig(galley.url, base64.b64encode(galley.ca.root_pem).decode(), TOKEN, "meshcore-9")
    path = galley.directory / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def namespace() -> str:
    """The name of a namespace that is not there yet."""
    return f"shop-{next(_NUMBERS)}"


@pytest.fixture
def virtual_service() -> Any:
    """Makes a VirtualService."""

    def make(name: str, host: str = "reviews", **metadata: Any) -> dict[str, Any]:
        return {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": name, **metadata},
            "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]},
        }

    return make
