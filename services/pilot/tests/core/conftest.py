"""Shared by the core tests of the compiler: meshes from YAML, proxies from nodes."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from meshcore.model.base import MeshObject
from meshcore.model.load import load_yaml_documents, parse_object

sys.path.insert(0, str(Path(__file__).parent))

CLIENT: Mapping[str, Any] = {
    "id": "sidecar~10.1.0.9~client.shop~shop.svc.cluster.local",
    "cluster": "client.shop",
    "metadata": {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "client"},
}


def read_objects(text: str, source: str = "in.yaml") -> list[MeshObject]:
    return [parse_object(document.body) for document in load_yaml_documents(text, source)]


@pytest.fixture
def objects() -> Callable[[str], list[MeshObject]]:
    return read_objects


@pytest.fixture
def case_of() -> Callable[[Path], tuple[list[MeshObject], Mapping[str, Any]]]:
    def read(directory: Path) -> tuple[list[MeshObject], Mapping[str, Any]]:
        file = directory / "in.yaml"
        node = directory / "proxy.yaml"
        described = yaml.safe_load(node.read_text()) if node.exists() else CLIENT
        return read_objects(file.read_text(), str(file)), described

    return read
