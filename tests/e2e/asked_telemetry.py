"""Telemetry objects, and the shared mesh with other mesh config for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import yaml
from mesh import Mesh


def telemetry(spec: Mapping[str, Any], name: str = "asked", namespace: str = "default") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": metadata, "spec": dict(spec)}


@contextmanager
def applied(mesh: Mesh, fields: Mapping[str, Any], documents: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """The mesh config with these fields and the documents, for as long as the block lasts."""
    before = mesh.mesh_config()
    text = yaml.safe_dump({**yaml.safe_load(before["data"]["mesh"]), **fields})
    mesh.converged(mesh.change([{**before, "data": {**before["data"], "mesh": text}}, *documents]))
    try:
        yield
    finally:
        mesh.converged(mesh.change([before], delete=documents))
