"""A real agent and its Envoy run Wasm modules out of images, and know what to do without them.

The registry is a small server of the distribution protocol (meshcore.testing.image_registry).
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
from envoy.service.discovery.v3 import discovery_pb2
from envoy_bootstrap.adapters.guarded_fetch import GuardedFetch
from envoy_bootstrap.adapters.kept_secrets import KeptSecrets
from envoy_bootstrap.adapters.pulled_extensions import PulledExtensions
from envoy_bootstrap.adapters.pulled_modules import PulledModules
from envoy_bootstrap.adapters.stored_state import EXTENSIONS_FILE, StoredState
from envoy_bootstrap.adapters.wasm_modules import WasmModules
from envoy_bootstrap.core.pulled_extension import extensions_in_use
from envoy_bootstrap.core.sealed import StateKey
from meshcore.testing.image_registry import OCI_LAYER, WASM_LAYER, archive, image_registry
from meshcore.testing.wasm_module import header_adding_module
from meshcore.xds.pulled_module import NO_SHA256, PULL_SECRET
from meshcore.xds.types import CLUSTER_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE, SECRET_TYPE

MODULE = header_adding_module("x-module", "ran")
LOGIN = "robot:s3cret-word"
SECRET = "pull://shop/registry"
_TYPE = "type.googleapis.com/"
_HTTP = f"{_TYPE}envoy.extensions.filters.http"
_MANAGER = f"{_TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_NETWORK = f"{_TYPE}envoy.extensions.filters.network"


def described(
    name: str, url: str, fails: str = "FAIL_CLOSED", secret: str = "", network: bool = False
) -> dict[str, Any]:
    """An extension as Pilot describes it."""
    code = {"remote": {"http_uri": {"uri": url, "cluster": "agent", "timeout": "30s"}, "sha256": NO_SHA256}}
    vm: dict[str, Any] = {"runtime": "envoy.wasm.runtime.v8", "code": code}
    if secret:
        vm["environment_variables"] = {"key_values": {PULL_SECRET: secret}}
    kind = f"{_NETWORK if network else _HTTP}.wasm.v3.Wasm"
    return {
        "name": name,
        "typed_config": {"@type": kind, "config": {"name": name, "vm_config": vm, "failure_policy": fails}},
    }


def source(kind: str) -> dict[str, Any]:
    """As Pilot's listeners have it."""
    service = {"envoy_grpc": {"cluster_name": "agent-extensions"}}
    api = {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [service]}
    config = {"resource_api_version": "V3", "initial_fetch_timeout": "0s", "api_config_source": api}
    return {"config_source": config, "type_urls": [f"{kind}.wasm.v3.Wasm", f"{kind}.rbac.v3.RBAC"]}


def listener(ip: str, port: int, extension: str, network: bool = False) -> dict[str, Any]:
    """It answers by itself, behind one extension."""
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_HTTP}.router.v3.Router"}}
    asked = [] if network else [{"name": extension, "config_discovery": source(_HTTP)}]
    manager = {
        "@type": _MANAGER,
        "stat_prefix": "http",
        "http_filters": [*asked, router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]},
    }
    before = [{"name": extension, "config_discovery": source(_NETWORK)}] if network else []
    filters = [*before, {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    address = {"socket_address": {"address": ip, "port_value": port}}
    return {"name": f"{ip}_{port}", "address": address, "filter_chains": [{"filters": filters}]}


def listeners(make: Any, *made: dict[str, Any]) -> dict[str, Any]:
    return {CLUSTER_TYPE: {}, LISTENER_TYPE: {one["name"]: make(LISTENER_TYPE, one) for one in made}}


def secret(make: Any) -> Any:
    auth = {"auth": base64.b64encode(LOGIN.encode()).decode()}
    return auth, lambda host: make(
        SECRET_TYPE,
        {
            "name": SECRET,
            "generic_secret": {
                "secret": {"inline_bytes": base64.b64encode(json.dumps({"auths": {host: auth}}).encode()).decode()}
            },
        },
    )


async def test_a_private_image_runs_and_does_so_again_without_pilot_and_registry(
    mesh: Any, make_resource: Any, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    auth, secret_for = secret(make_resource)
    with image_registry(LOGIN) as registry:
        registry.push("private/filter", [(OCI_LAYER, archive({"plugin.wasm": MODULE}))])
        url = f"oci://{registry.host}/private/filter:v1"
        ip = mesh.claim.address(11)
        mesh.pilot.resources["front"] = listeners(make_resource, listener(ip, 9080, "shop.image"))
        mesh.pilot.kept["front"] = {
            EXTENSION_CONFIG_TYPE: {
                "shop.image": make_resource(EXTENSION_CONFIG_TYPE, described("shop.image", url, secret=SECRET))
            },
            SECRET_TYPE: {SECRET: secret_for(registry.host)},
        }
        workload = await mesh.start_ready("front", 1, STATE_KEY_FILE=str(key))

        async def ran() -> bool:
            try:
                return (await workload.get(9080)).headers.get("x-module") == "ran"
            except httpx.TransportError:
                return False

        await mesh.until(ran, "the module's header")
        await mesh.until((workload.state / "snapshot.sealed").exists, "a last good configuration")
        in_use = extensions_in_use(await workload.admin("/config_dump?include_eds"))
        assert in_use == {"shop.image"}
        await workload.terminate()
        await mesh.stop_pilot()
        registry.away = True
        workload = await mesh.start_workload("front", 1, STATE_KEY_FILE=str(key))
        await mesh.until(ran, "the module's header without Pilot and registry")
        shown = await workload.admin("/config_dump?include_eds")
    logs = workload.log.read_text()
    stored = [file.read_bytes() for file in workload.state.rglob("*") if file.is_file()]
    for word in ("s3cret-word", auth["auth"]):
        assert word not in shown
        assert word not in logs
        assert not [file for file in stored if word.encode() in file]


async def test_without_a_module_all_pass_or_nobody_until_it_is_there(mesh: Any, make_resource: Any) -> None:
    with image_registry() as registry:
        registry.away = True
        registry.push("filter", [(WASM_LAYER, MODULE)])
        url = f"oci://{registry.host}/filter:v1"
        ip = mesh.claim.address(11)
        made = {"closes": ("FAIL_CLOSED", False), "opens": ("FAIL_OPEN", False), "refuses": ("FAIL_CLOSED", True)}
        mesh.pilot.resources["front"] = listeners(
            make_resource,
            *(listener(ip, 9080 + number, name, made[name][1]) for number, name in enumerate(made)),
        )
        kept = {name: described(name, url, fails, network=network) for name, (fails, network) in made.items()}
        mesh.pilot.kept["front"] = {
            EXTENSION_CONFIG_TYPE: {name: make_resource(EXTENSION_CONFIG_TYPE, one) for name, one in kept.items()}
        }
        workload = await mesh.start_ready("front", 1)

        async def status(port: int) -> int:
            try:
                return (await workload.get(port)).status_code
            except httpx.TransportError:
                return 0

        async def answers(port: int, expected: int) -> bool:
            return await status(port) == expected

        await mesh.until(lambda: answers(9080, 403), "nobody passes")
        await mesh.until(lambda: answers(9081, 200), "all pass")
        assert "x-module" not in (await workload.get(9081)).headers
        assert await status(9082) == 0, "a connection is closed"
        registry.away = False

        async def ran(port: int) -> bool:
            return (await workload.get(port)).headers.get("x-module") == "ran"

        for port in (9080, 9081):
            await mesh.until(lambda port=port: ran(port), f"the module on {port}")


async def test_what_envoy_does_not_use_is_forgotten(tmp_path: Path, make_resource: Any) -> None:
    stored, fetch = StoredState(tmp_path, StateKey(b"k" * 32)), GuardedFetch()
    modules = PulledModules(tmp_path / "pulled", WasmModules(tmp_path / "wasm", fetch), fetch)
    secrets = KeptSecrets(stored)
    extensions = PulledExtensions(stored, modules, secrets)
    one = make_resource(EXTENSION_CONFIG_TYPE, described("a", "oci://127.0.0.1:1/x:v1", secret=SECRET))
    response = discovery_pb2.DeltaDiscoveryResponse(type_url=EXTENSION_CONFIG_TYPE)
    response.resources.add(name="a", version=one.version).resource.value = one.body
    extensions.received(response)
    assert (extensions.wanted, secrets.wanted) == ({"a": "1"}, {SECRET: ""})
    again, let_go = PulledExtensions(stored, modules, secrets), []
    again.changed = lambda added, gone: let_go.append((added, gone))
    assert again.wanted == {"a": "1"}
    again.use(frozenset({"a"}))
    assert again.wanted == {"a": "1"}
    again.use(frozenset())
    assert (again.wanted, secrets.wanted, let_go) == ({}, {}, [(frozenset(), {"a"})])
    assert not (tmp_path / EXTENSIONS_FILE).exists()
