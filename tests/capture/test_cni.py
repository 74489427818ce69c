"""The CNI plugin, started as a container runtime starts it, and asking the mesh's own API for the pod."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from envoy_bootstrap.adapters.capture.pod_repair import PodRepair
from envoy_bootstrap.core.capture.repair import parse_repair
from meshcore.http.kubeconfig import Access
from scratch import Scratch

pytestmark = [pytest.mark.capture, pytest.mark.timeout(180)]

PLUGIN = str(Path(sys.executable).with_name("istio-cni"))
MADE = {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}], "ips": [{"address": "10.77.0.2/24"}]}
STATUS = {"sidecar.istio.io/status": "{}"}
PROXY = {"name": "istio-proxy", "image": "proxy", "args": ["proxy", "sidecar"]}


@pytest.fixture
def run_dir(mesh, tmp_path) -> str:
    """What the plugin's installer leaves on a node: the way to the API server."""
    entry = {"name": "node", "cluster": {}, "user": {}, "context": {"cluster": "node", "user": "node"}}
    entry["cluster"] = {
        "server": f"https://{mesh.control.host}:8081",
        "certificate-authority": str(mesh.control.identities / "root-cert.pem"),
    }
    entry["user"] = {"tokenFile": str(mesh.control.identities / "admin-token")}
    document = {"current-context": "node", **{part: [entry] for part in ("clusters", "users", "contexts")}}
    (tmp_path / "istio-cni-kubeconfig").write_text(yaml.safe_dump(document))
    return str(tmp_path)


def pod(name: str, containers: list[dict], annotations: dict | None = None) -> dict:
    metadata = {"name": name, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}


def asked(command: str, scratch: Scratch, name: str, run_dir: str, **settings: object) -> tuple[int, dict, str]:
    """The plugin's exit code, what it says to the runtime, and what it says beside."""
    config = {
        "cniVersion": "1.0.0",
        "name": "mesh",
        "type": "istio-cni",
        "prevResult": MADE,
        "cni_agent_run_dir": run_dir,
    }
    environment = {
        **os.environ,
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "1",
        "CNI_NETNS": f"/var/run/netns/{scratch.name}",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin",
        "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={name}",
    }
    done = subprocess.run(
        [PLUGIN],
        input=json.dumps({**config, **settings}),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def test_a_pod_with_a_sidecar_is_captured_in_its_own_namespace(mesh, scratch, run_dir):
    annotations = STATUS | {"traffic.sidecar.istio.io/excludeOutboundPorts": "9200"}
    with mesh.control.applied(pod("captured", [{"name": "app", "image": "app"}, PROXY], annotations)):
        code, said, beside = asked("ADD", scratch, "captured", run_dir)
        assert (code, said) == (0, MADE), beside
        rules = scratch.rules()
        assert any("--dport 9200 -j RETURN" in rule for rule in rules)
        assert scratch.told("--skip-rule-apply", "--run-validation").returncode == 0
        # a runtime may ask twice
        code, said, beside = asked("ADD", scratch, "captured", run_dir)
        assert (code, said, "nothing to do" in beside, scratch.rules()) == (0, MADE, True, rules)
        assert asked("CHECK", scratch, "captured", run_dir)[:2] == (0, {})
        scratch.inside("iptables", "-t", "nat", "-F", "ISTIO_OUTPUT")
        code, said, _ = asked("CHECK", scratch, "captured", run_dir)
        assert (code, said["code"], "ISTIO_OUTPUT" in said["msg"]) == (1, 100, True)
        assert asked("DEL", scratch, "captured", run_dir)[:2] == (0, {})


def test_a_network_may_say_that_nftables_are_used(mesh, scratch, run_dir):
    assert shutil.which("nft"), "install nftables"
    before = scratch.rules()
    with mesh.control.applied(pod("native", [PROXY], STATUS)):
        code, said, beside = asked("ADD", scratch, "native", run_dir, native_nftables=True)
        assert (code, said) == (0, MADE), beside
        assert scratch.told("--skip-rule-apply", "--run-validation").returncode == 0
        assert scratch.rules() == before
        assert asked("CHECK", scratch, "native", run_dir, native_nftables=True)[0] == 0
        scratch.inside("nft", "flush", "chain", "inet", "istio-proxy-nat", "istio-output")
        code, said, _ = asked("CHECK", scratch, "native", run_dir, native_nftables=True)
        assert (code, said["code"], "0 rules in istio-output" in said["msg"]) == (1, 100, True)


@pytest.mark.parametrize(
    ("containers", "annotations", "settings", "reason"),
    [
        ([{"name": "app", "image": "app"}], {}, {}, "it has no container istio-proxy"),
        ([PROXY], {}, {}, "nobody has injected a sidecar"),
        ([PROXY], STATUS, {"exclude_namespaces": ["default"]}, "namespace default is left out"),
    ],
)
def test_a_pod_that_is_not_to_be_captured_is_left_alone(
    mesh, scratch, run_dir, containers, annotations, settings, reason
):
    before = scratch.state()
    with mesh.control.applied(pod("left", containers, annotations)):
        code, said, beside = asked("ADD", scratch, "left", run_dir, **settings)
    assert (code, said, reason in beside, scratch.state()) == (0, MADE, True, before), beside


def test_attack_46_a_wrong_annotation_stops_the_pod_and_applies_nothing(mesh, scratch, run_dir):
    wrong = "traffic.sidecar.istio.io/includeInboundPorts"
    before = scratch.state()
    with mesh.control.applied(pod("wrong", [PROXY], STATUS | {wrong: "80 -j ACCEPT"})):
        code, said, _ = asked("ADD", scratch, "wrong", run_dir)
    assert (code, said["code"], wrong in said["msg"], scratch.state()) == (1, 7, True, before)


@pytest.mark.parametrize("remedy", ["REPAIR", "LABEL", "DELETE"])
def test_a_pod_that_was_started_before_the_plugin_was_there_is_helped(mesh, scratch, run_dir, remedy):
    ended = {"terminated": {"exitCode": 126, "reason": "Error", "finishedAt": None}}
    first = {"name": "istio-validation", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
    status = {"podIP": "10.77.0.2", "podIPs": [{"ip": "10.77.0.2"}], "initContainerStatuses": [first]}
    path = "/api/v1/namespaces/default/pods/{}"
    said: list[str] = []
    config = parse_repair({f"REPAIR_{remedy}_PODS": "true"})
    repair = PodRepair(config, Access.of_kubeconfig(Path(run_dir) / "istio-cni-kubeconfig"), said.append)
    name = f"broken-{remedy.lower()}"
    with (
        subprocess.Popen(["ip", "netns", "exec", scratch.name, "sleep", "60"]) as process,
        mesh.control.applied(pod(name, [PROXY], STATUS), pod("whole", [PROXY], STATUS)),
    ):
        try:
            stored = mesh.control.api.get(path.format(name)).json()
            answer = mesh.control.api.put(f"{path.format(name)}/status", json={**stored, "status": status})
            assert answer.status_code == 200, answer.text
            for _ in range(2):
                asyncio.run(repair.once())
            found = mesh.control.api.get(path.format(name))
            labels = found.json()["metadata"].get("labels", {})
            done = {"REPAIR": "repaired", "LABEL": "labelled", "DELETE": "deleted"}[remedy]
            assert said == [f"default/{name} has no capture: {done}"]
            captured = scratch.told("--skip-rule-apply", "--run-validation", "--probe-timeout", "1s").returncode == 0
            assert (captured, labels.get("cni.istio.io/uninitialized"), found.status_code) == {
                "REPAIR": (True, None, 200),
                "LABEL": (False, "true", 200),
                "DELETE": (False, None, 404),
            }[remedy]
        finally:
            process.kill()
            if remedy == "DELETE":
                mesh.control.apply(pod(name, [PROXY], STATUS))
