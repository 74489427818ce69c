import pytest
from meshcore.errors import ErrorCode, MeshError
from meshcore.model.base import MeshObject
from meshcore.model.load import load_yaml_documents
from meshcore.xds.types import CLUSTER_TYPE
from meshctl.core.offline_mesh import compile_proxy, node_of, read_mesh

MESH = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 9080}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: front}
spec:
  metadata: {labels: {app: front}}
  template: {serviceAccount: front}
---
apiVersion: networking.istio.io/v1beta1
kind: WorkloadEntry
metadata: {name: vm, namespace: other}
spec: {address: 10.1.1.1, labels: {app: vm}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: somebody-elses}
"""


def objects(text: str = MESH) -> list[MeshObject]:
    return read_mesh(load_yaml_documents(text, "m.yaml"), "default")


def test_a_node_is_that_of_a_group_an_entry_or_a_pod_of_a_service() -> None:
    mesh = objects()
    assert node_of(mesh, "default", "front")["metadata"]["SERVICE_ACCOUNT"] == "front"
    assert node_of(mesh, "other", "vm")["id"] == "sidecar~10.1.1.1~vm.other~other.svc.cluster.local"
    assert node_of(mesh, "default", "reviews")["metadata"]["LABELS"] == {"app": "reviews"}
    with pytest.raises(MeshError) as caught:
        node_of(mesh, "default", "ghost")
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_a_later_document_takes_the_place_of_an_earlier_one() -> None:
    twice = objects(MESH + "---" + MESH.split("---")[0].replace("9080", "9090"))
    assert len(twice) == 3
    mesh = compile_proxy(twice, node_of(twice, "default", "front"))
    assert "outbound|9090||reviews.default.svc.cluster.local" in mesh.resources[CLUSTER_TYPE]


def test_every_violation_of_every_document_is_told_with_its_line() -> None:
    with pytest.raises(MeshError) as caught:
        objects(MESH.replace("ports: [{", "portz: [{").replace("template: {", "templatee: {"))
    found = {(violation.line, violation.field) for violation in caught.value.violations}
    assert {(7, "spec.portz"), (14, "spec.templatee")} <= found


def test_what_has_no_name_is_refused_with_its_line() -> None:
    text = "apiVersion: v1\nkind: Service\nmetadata: foo\n---\napiVersion: v1\nkind: [Service]\nmetadata: {}\n"
    with pytest.raises(MeshError) as caught:
        read_mesh(load_yaml_documents(text, "m.yaml"), "default")
    assert [str(violation) for violation in caught.value.violations] == [
        "m.yaml:3: metadata: 'foo' is a str (expected a mapping with a name)"
    ]
