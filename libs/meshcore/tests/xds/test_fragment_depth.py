"""Patches that would make a resource that no parser reads."""

from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from meshcore.errors import MeshError
from meshcore.xds.fragment import check_fragment, read_fragment

SETTER = "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config"


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"x": 1}
    for _ in range(levels):
        value = {"a": value}
    return value


def deep(kind: str, levels: int) -> dict[str, Any]:
    if kind == "CLUSTER":
        return {"name": "a", "metadata": {"filter_metadata": {"b": nested(levels)}}}
    inner = {"@type": SETTER, "metadata": [{"metadata_namespace": "b", "value": nested(levels)}]}
    return {"name": "a", "typed_config": inner}


@pytest.mark.parametrize("kind", ["CLUSTER", "HTTP_FILTER"])
@pytest.mark.parametrize("levels", [30, 32, 40, 400])
def test_what_is_nested_too_deeply_is_refused(kind: str, levels: int) -> None:
    assert check_fragment(kind, deep(kind, levels)).errors
    with pytest.raises(MeshError, match=r"too deep|levels deep|recursion"):
        read_fragment(kind, deep(kind, levels))


def test_what_can_be_read_again_is_taken() -> None:
    made = read_fragment("CLUSTER", deep("CLUSTER", 20))
    assert cluster_pb2.Cluster.FromString(made.SerializeToString()) == made
    assert check_fragment("CLUSTER", deep("CLUSTER", 20)).errors == ()
    assert check_fragment("HTTP_FILTER", deep("HTTP_FILTER", 20)).errors == ()
