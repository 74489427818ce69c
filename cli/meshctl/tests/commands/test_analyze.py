import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from meshcore.errors import ErrorCode, MeshError
from meshcore.model.kinds import KindInfo
from meshctl.__main__ import app_with
from meshctl.commands.analyze import live_documents
from typer.testing import CliRunner

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 8004, name: http, protocol: HTTP}
    hosts: ["*"]
"""
BROKEN = "a: ["


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app_with(["analyze"]), ["analyze", *arguments])


@pytest.fixture
def gateway(tmp_path: Path) -> str:
    path = tmp_path / "gateway.yaml"
    path.write_text(GATEWAY)
    return str(path)


def test_lines_and_thresholds(gateway: str) -> None:
    found = run(gateway)
    assert found.exit_code == 0
    assert found.stdout.startswith(f"Warning [IST0162] (Gateway edge {gateway}:6) ")
    assert run(gateway, "--failure-threshold", "warning").exit_code == 79
    quiet = run(gateway, "--output-threshold", "Error", "--failure-threshold", "Warning")
    assert (quiet.stdout, quiet.exit_code) == ("", 79)


def test_data_formats_always_end_well(gateway: str) -> None:
    found = run(gateway, "-o", "json", "--failure-threshold", "Info")
    assert found.exit_code == 0
    assert [message["code"] for message in json.loads(found.stdout)] == ["IST0162"]


def test_suppression_and_one_analyzer(gateway: str) -> None:
    assert run(gateway, "-S", "IST0162=Gateway edge.*").stdout == ""
    assert run(gateway, "--analyzer", "sidecar.SelectorAnalyzer").stdout == ""
    assert "no message has the code 'IST9999'" in run(gateway, "-S", "IST9999=*").stderr


def test_a_broken_file_does_not_hide_the_others(gateway: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    found = run(str(tmp_path))
    assert found.exit_code == 65
    assert "IST0162" in found.stdout
    assert "broken.yaml" in found.stderr
    assert run(str(tmp_path), "--ignore-unknown").exit_code == 0


def test_wrong_options(gateway: str) -> None:
    assert run(gateway, "-o", "xml").exit_code == 64
    assert run(gateway, "--use-kube=perhaps").exit_code == 1
    assert run(gateway, "-S", "IST0162").exit_code == 1
    assert run("no-such-file.yaml").exit_code == 1


def test_the_mesh_config_of_a_file(tmp_path: Path) -> None:
    entry = tmp_path / "entry.yaml"
    entry.write_text(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e}\n"
        "spec: {hosts: [a.example.com], ports: [{name: tcp, number: 1, protocol: TCP}], resolution: DNS}\n"
    )
    mesh = tmp_path / "mesh.txt"
    mesh.write_text(
        "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true', ISTIO_META_DNS_AUTO_ALLOCATE: 'true'}}\n"
    )
    assert "IST0134" in run(str(entry)).stdout
    assert "IST0134" not in run(str(entry), "--meshConfigFile", str(mesh)).stdout


class OneService:
    """A config API that serves Services alone, their items without kind as Kubernetes lists them."""

    def list_objects(self, kind: KindInfo, namespace: str | None) -> dict[str, Any]:
        if kind.kind != "Service":
            raise MeshError(ErrorCode.NOT_FOUND, "not served")
        assert namespace is None
        return {"items": [{"metadata": {"name": "books", "namespace": "shop"}}]}


def test_live_objects() -> None:
    (document,) = live_documents(OneService())
    assert (document.body["kind"], document.body["apiVersion"]) == ("Service", "v1")
