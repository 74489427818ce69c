"""Wrong input gets a clear error, and nothing else is disturbed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from mesh import Mesh, destination_rule, route, service, virtual_service
from meshcore.errors import ErrorCode, MeshError


def with_spec(**spec: Any) -> dict[str, Any]:
    document = virtual_service("wrong", [route("echo", "v1")])
    return document | {"spec": document["spec"] | spec}


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (with_spec(htpp=[]), "htpp"),
        (virtual_service("wrong", [route("echo", ("v1", -1))]), "weight"),
        (with_spec(hosts=["not a host!"]), "hosts"),
        (with_spec(http=[{"timeout": "soon"} | route("echo", "v1")]), "timeout"),
    ],
    ids=["unknown field", "negative weight", "bad host", "bad duration"],
)
def test_a_wrong_object_is_refused_by_its_field(
    mesh: Mesh, tmp_path: Path, document: dict[str, Any], named: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(document))
    applied = mesh.run_here("apply", "-f", str(path), check=False)
    assert applied.exit_code == 1
    assert named in applied.stderr
    offline = mesh.run_here("validate", "-f", str(path), "-o", "json", check=False)
    assert offline.exit_code == 1
    assert named in offline.stdout
    with pytest.raises(MeshError, match="wrong"):
        mesh.config.read_document(document)
    assert mesh.get("http://echo:9080/").good


def test_of_two_writers_with_one_resource_version_the_second_is_told(mesh: Mesh) -> None:
    mesh.config.apply(service("contended"))
    live = mesh.config.read_document(service("contended"))
    first, second = (live | {"metadata": live["metadata"] | {"labels": {"writer": name}}} for name in ("a", "b"))
    mesh.config.apply(first)
    with pytest.raises(MeshError) as caught:
        mesh.config.apply(second)
    assert caught.value.code is ErrorCode.CONFLICT
    assert mesh.config.read_document(service("contended"))["metadata"]["labels"] == {"writer": "a"}
    mesh.config.delete(service("contended"))


def test_a_file_that_is_nowhere_stops_nobody_elses_change(mesh: Mesh) -> None:
    mesh.apply(service("nowhere"))
    tls = {"mode": "SIMPLE", "caCertificates": "/nowhere/root.pem"}
    rule = destination_rule("nowhere") | {
        "spec": {"host": "nowhere.default.svc.cluster.local", "trafficPolicy": {"tls": tls}}
    }
    mesh.apply(rule)
    mesh.apply(virtual_service("echo", [route("echo", "v1")]))
    assert {reply.body["version"] for reply in mesh.get_many("http://echo:9080/", 5)} == {"v1"}
    mesh.delete(rule, virtual_service("echo", [route("echo", "v1")]), service("nowhere"))
