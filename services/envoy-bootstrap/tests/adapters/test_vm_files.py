"""A workload outside of the cluster, started from its files alone."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from envoy_bootstrap.adapters.vm_files import vm_environment
from meshcore.errors import ErrorCode, MeshError


def write(folder: Path, environment: str = "POD_NAMESPACE='shop'\n", mesh: str = "defaultConfig: {}\n") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "cluster.env").write_text(environment)
    (folder / "mesh.yaml").write_text(mesh)
    (folder / "root-cert.pem").write_text("a root")


def test_the_files_are_the_environment_but_for_what_is_set(tmp_path: Path) -> None:
    write(
        tmp_path,
        "# who\nPOD_NAMESPACE='shop'\nSERVICE_ACCOUNT=front\n\nISTIO_METAJSON_LABELS='{\"app\":\"front\"}'\n",
        "defaultConfig:\n  drainDuration: 3s\n",
    )
    made = vm_environment(tmp_path, {"SERVICE_ACCOUNT": "mine", "POD_NAME": ""})
    assert made["POD_NAMESPACE"] == "shop"
    assert made["SERVICE_ACCOUNT"] == "mine"
    assert made["ISTIO_METAJSON_LABELS"] == '{"app":"front"}'
    assert made["PROXY_CONFIG"] == '{"drainDuration": "3s"}'
    assert made["CA_ROOT_CERT"] == str(tmp_path / "root-cert.pem")
    assert made["TOKEN_PATH"] == str(tmp_path / "istio-token")
    assert made["POD_NAME"] == socket.gethostname()


@pytest.mark.parametrize(
    ("environment", "mesh", "said"),
    [
        ("POD_NAMESPACE\n", "{}", "cluster.env:1: is no NAME='value'"),
        ("A='b\n", "{}", "cluster.env:1: is no NAME='value'"),
        ("A=b; rm -rf /\n", "{}", "cluster.env:1: is no NAME='value'"),
        ("A='b'\n", "[", "mesh.yaml is not YAML"),
        ("A='b'\n", "defaultConfig: 1\n", "mesh.yaml has no map defaultConfig"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, environment: str, mesh: str, said: str) -> None:
    write(tmp_path, environment, mesh)
    with pytest.raises(MeshError) as caught:
        vm_environment(tmp_path, {})
    assert caught.value.code is ErrorCode.INVALID
    assert said in "\n".join((caught.value.detail, *map(str, caught.value.violations)))


@pytest.mark.parametrize("name", ["cluster.env", "mesh.yaml"])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    (tmp_path / name).write_bytes(b"A='\xff'\n")
    with pytest.raises(MeshError, match=f"{name} cannot be read"):
        vm_environment(tmp_path, {})


def test_missing_files_are_named_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(MeshError) as caught:
        vm_environment(tmp_path, {})
    assert [violation.field for violation in caught.value.violations] == [
        str(tmp_path / name) for name in ("cluster.env", "mesh.yaml", "root-cert.pem")
    ]


async def test_an_agent_starts_from_them(mesh: Any) -> None:
    folder: Path = mesh.directory / "vm"
    probe = "defaultConfig:\n  readinessProbe: {exec: {command: ['test', '-e', '%s']}, periodSeconds: 1}\n"
    well = mesh.directory / "well"
    write(folder, "POD_NAMESPACE='shop'\nISTIO_META_AUTO_REGISTER_GROUP='group'\n", probe % well)
    os.link(mesh.directory / "root-cert.pem", folder / "root-cert.pem.new")
    (folder / "root-cert.pem.new").replace(folder / "root-cert.pem")
    os.link(mesh.directory / "token", folder / "istio-token")
    unset = dict.fromkeys(("POD_NAMESPACE", "ISTIO_META_AUTO_REGISTER_GROUP", "CA_ROOT_CERT", "TOKEN_PATH"), "")
    workload = await mesh.start_workload("front", 1, arguments=("--vm-dir", str(folder)), **unset, PROXY_CONFIG="")
    await mesh.until(workload.ready, "ready")
    refused = "the application does not pass its health check"
    await mesh.until(lambda: mesh.pilot.said.get("front", [""])[-1] == refused, "the failing probe")
    assert mesh.pilot.nodes["front"].metadata["AUTO_REGISTER_GROUP"] == "group"
    well.touch()
    await mesh.until(lambda: mesh.pilot.said["front"][-1] == "healthy", "the passing probe")
    well.unlink()
    await mesh.until(lambda: mesh.pilot.said["front"][-1] == refused, "out again")
