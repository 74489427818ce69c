"""How a proxy is started: objects of kind ProxyConfig, in pods and on this machine, and patches of its bootstrap."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
from mesh import Mesh, client, wait_until
from meshctl.adapters.envoy_admin import EnvoyAdmin


def proxy_config(name: str, namespace: str = "default", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "ProxyConfig",
        "metadata": metadata,
        "spec": spec,
    }


def injected_proxy(mesh: Mesh, labels: Mapping[str, str]) -> Mapping[str, Any]:
    """The proxy's container of a pod that the stack's injector is asked about."""
    pod = {"metadata": {"name": "asked", "labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}}
    request = {"uid": "u", "kind": {"kind": "Pod"}, "namespace": "default", "object": pod}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    trust = ssl.create_default_context(cafile=mesh.layout.root_certificate)
    url = f"https://{mesh.stack.injector}:15017/inject"
    answer = httpx.post(url, json=review, verify=trust, trust_env=False, timeout=60).json()["response"]
    containers = [
        item
        for operation in json.loads(base64.b64decode(answer["patch"]))
        for item in (operation["value"] if isinstance(operation["value"], list) else [operation["value"]])
        if isinstance(item, dict) and item.get("name") == "istio-proxy"
    ]
    assert len(containers) == 1, answer
    found: Mapping[str, Any] = containers[0]
    return found


def told(container: Mapping[str, Any]) -> dict[str, Any]:
    """PROXY_CONFIG of a container."""
    text = next(item["value"] for item in container["env"] if item["name"] == "PROXY_CONFIG")
    found: dict[str, Any] = json.loads(text)
    return found


def threads(mesh: Mesh, name: str) -> int:
    """Worker threads of a workload's Envoy."""
    info = EnvoyAdmin(mesh.workload(name)["envoy_admin"]).get("/server_info")
    return int(info["command_line_options"]["concurrency"])


def test_the_selected_workload_gets_its_threads_variables_and_image(mesh: Mesh) -> None:
    variables = {"ISTIO_META_MOOD": "good"}
    documents = [
        proxy_config("all", "istio-system", environmentVariables=variables, image={"imageType": "debug"}),
        proxy_config("broad", selector={"matchLabels": {"app": "broad"}}, concurrency=3),
    ]
    mesh.converged(mesh.change(documents))
    try:
        container = wait_until(
            "a pod is injected with both",
            lambda: found if told(found := injected_proxy(mesh, {"app": "broad"})).get("concurrency") else None,
        )
        assert told(container) == {"concurrency": 3, "proxyMetadata": variables, "image": {"imageType": "debug"}}
        assert container["image"].endswith("-debug")
        assert {"name": "ISTIO_META_MOOD", "value": "good"} in container["env"]
        assert "concurrency" not in told(injected_proxy(mesh, {"app": "narrow"}))

        mesh.add(client("broad"), client("narrow"), client("pinned", proxy_env={"PROXY_CONFIG": "concurrency: 2"}))
        assert {name: threads(mesh, name) for name in ("broad", "narrow", "pinned")} == {
            "broad": 3,
            "narrow": 1,
            "pinned": 2,
        }
        info = EnvoyAdmin(mesh.workload("broad")["envoy_admin"]).get("/server_info")
        assert info["node"]["metadata"]["MOOD"] == "good"
    finally:
        mesh.change([], delete=documents)


def test_a_proxy_that_asks_starts_with_the_patches_of_its_bootstrap(mesh: Mesh) -> None:
    value = {"stats_flush_interval": "3s", "node": {"metadata": {"PATCHED": "yes"}}}
    patch = {"applyTo": "BOOTSTRAP", "patch": {"operation": "MERGE", "value": value}}
    refused = value | {"static_resources": {"listeners": [{"name": "without-address"}]}}
    documents = [
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"workloadSelector": {"labels": {"app": name}}, "configPatches": [found]},
        }
        for name, found in (
            ("asking", patch),
            ("harmed", {"applyTo": "BOOTSTRAP", "patch": {"operation": "MERGE", "value": refused}}),
        )
    ]
    mesh.converged(mesh.change(documents))
    asks = {"BOOTSTRAP_XDS_AGENT": "true"}
    try:
        mesh.add(client("asking", proxy_env=asks), client("harmed", proxy_env=asks))
        started = {name: bootstrap(mesh, name) for name in ("asking", "harmed")}
        assert started["asking"]["stats_flush_interval"] == "3s"
        assert started["asking"]["node"]["metadata"]["PATCHED"] == "yes"
        assert "stats_flush_interval" not in started["harmed"], "Envoy would not start with it, so it starts without"
    finally:
        mesh.change([], delete=documents)


def bootstrap(mesh: Mesh, name: str) -> dict[str, Any]:
    """What a workload's Envoy was started with."""
    dump = EnvoyAdmin(mesh.workload(name)["envoy_admin"]).get("/config_dump")
    found: dict[str, Any] = next(item["bootstrap"] for item in dump["configs"] if "bootstrap" in item)
    return found
