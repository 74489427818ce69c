"""TrafficExtension and WasmPlugin: filters of the users' own, in the phases of the filter order (xds.md §5). Pure.

The filter in the listener only names an extension config (Istio's name); its content is a resource of its own (ECDS),
so a new version of a script changes no listener.

Envoy takes no remote code without its SHA-256, which nobody knows of an image in a registry before it is pulled. Such
content is the agent's: Envoy asks it for the extension config, it has the description from here on a stream of its own.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

from envoy.config.core.v3 import base_pb2, config_source_pb2, extension_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.http.wasm.v3 import wasm_pb2 as http_wasm_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.wasm.v3 import wasm_pb2 as network_wasm_pb2
from envoy.extensions.wasm.v3 import wasm_pb2
from google.protobuf import wrappers_pb2
from meshcore.model import TrafficExtension, WasmPlugin
from meshcore.model.traffic_extension import (
    EnvValueSource,
    FailStrategy,
    MatchMode,
    PluginType,
    PullPolicy,
    TrafficExtensionSpec,
    TrafficSelector,
    WasmSettings,
)
from meshcore.xds.lua import script_fault
from meshcore.xds.names import AGENT_CLUSTER, EXTENSIONS_CLUSTER, extension_config_name
from meshcore.xds.pulled_module import NO_SHA256, PULL_POLICY, PULL_SECRET, STAND_INS
from meshcore.xds.secret_names import pull_secret
from meshcore.xds.types import EXTENSION_CONFIG_TYPE, LISTENER_TYPE

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.filter_order import HttpFilter, HttpSlot, insert
from pilot.core.compiler.listener_sides import Side, side_of
from pilot.core.compiler.messages import ads_source, agent_source, any_of
from pilot.core.compiler.repacking import repacked
from pilot.core.compiler.stages import Stage
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic, Severity
from pilot.core.policy_target import is_target

_PHASES = {
    "AUTHN": HttpSlot.AUTHENTICATION_EXTENSION,
    "AUTHZ": HttpSlot.AUTHORIZATION_EXTENSION,
    "STATS": HttpSlot.STATS_EXTENSION,
}
_FAILURES = {
    FailStrategy.FAIL_CLOSE: wasm_pb2.FailurePolicy.FAIL_CLOSED,
    FailStrategy.FAIL_OPEN: wasm_pb2.FailurePolicy.FAIL_OPEN,
    FailStrategy.FAIL_RELOAD: wasm_pb2.FailurePolicy.FAIL_RELOAD,
}
_RUNTIME = "envoy.wasm.runtime.v8"
_FETCH_SECONDS = 30
FETCH_PATH = "/wasm"
"""Where the agent serves modules that it has fetched and checked."""
_Manager = http_connection_manager_pb2.HttpConnectionManager


@dataclass(frozen=True, eq=False)
class Extension:
    """One extension that counts; `slot` and the order in the tuple are its place."""

    config: Config[Any]
    name: str
    slot: HttpSlot
    is_network: bool
    matches: tuple[TrafficSelector, ...]
    wasm: WasmSettings | None
    lua: str
    problem: str
    """Why proxies do without it."""
    script_fault: str = ""
    """Why its script is not sent: those that have an older form keep it, and nobody passes who should be looked at."""

    @property
    def type_urls(self) -> list[str]:
        """The types that its config may have."""
        if self.wasm is None:
            return [f"type.googleapis.com/{lua_pb2.Lua.DESCRIPTOR.full_name}"]
        kind = network_wasm_pb2.Wasm if self.is_network else http_wasm_pb2.Wasm
        instead = [f"type.googleapis.com/{STAND_INS[self.is_network].DESCRIPTOR.full_name}"] if self.is_fetched else []
        return [f"type.googleapis.com/{kind.DESCRIPTOR.full_name}", *instead]

    @property
    def is_fetched(self) -> bool:
        """Whether its content is what the agent makes of it."""
        return self.wasm is not None and _is_fetched(self.wasm)

    def applies(self, side: Side, port: int) -> bool:
        """Whether it is for this side and port of the proxy."""
        return not self.matches or any(_fits(match, side, port) for match in self.matches)


def extensions_of(work: Compilation) -> tuple[Extension, ...]:
    """The extensions of this class: by phase, the highest priority first, then the oldest."""
    one, root = work.proxy_class, work.mesh.root_namespace
    spaces = work.snapshot.by_namespace
    found = tuple(
        spaces.get(kind, {}).get(namespace, ())
        for kind in ("TrafficExtension", "WasmPlugin")
        for namespace in dict.fromkeys((root, one.namespace))
    )
    if not any(found):
        return ()
    key = ("extensions", one.type, one.namespace, one.labels, one.fetches, root, *map(Same, found))
    return work.memo(key, lambda: _selected(work, [config for configs in found for config in configs]))


def extended(work: Compilation, compiled: Iterable[Compiled]) -> Iterator[Compiled]:
    """The resources with the filters of the extensions in the listeners, and the extension configs."""
    extensions = extensions_of(work)
    if not extensions:
        yield from compiled
        return
    usable = tuple(item for item in extensions if not item.problem)
    stage = Stage[Compiled](work, "extended", Same(extensions))
    for item in compiled:
        is_concerned = item.resource.type_url == LISTENER_TYPE and bool(usable)
        yield stage.of(item, partial(_extend, item, usable)) if is_concerned else item
    for extension in usable:
        if extension.script_fault:
            continue
        yield work.memo(("extension-config", Same(extension.config)), partial(_config, extension))


def extension_problems(work: Compilation) -> Iterator[Diagnostic]:
    """Extensions that cannot run, and why."""
    for item in extensions_of(work):
        if item.problem:
            yield Diagnostic("extension-not-usable", item.config.path, item.problem, Severity.ERROR)
        elif item.script_fault:
            text = f"The script is no Lua, so proxies keep what they had of it: {item.script_fault}."
            yield Diagnostic("extension-not-sent", item.config.path, text, Severity.ERROR)


def _selected(work: Compilation, configs: list[Config[Any]]) -> tuple[Extension, ...]:
    chosen = [item for item in configs if is_target(item.object, work.proxy_class, work.mesh.root_namespace)]
    chosen.sort(key=lambda item: item.age)
    first: dict[str, Extension] = {}
    read = []
    for item in (_read(config, work.proxy_class.fetches) for config in chosen):
        older = first.setdefault(item.name, item)
        read.append(item if older is item else replace(item, problem=_name_fault(older)))
    read.sort(key=lambda item: -(item.config.object.spec.priority or 0))
    return tuple(sorted(read, key=lambda item: item.slot))


def _read(config: Config[Any], fetches: bool) -> Extension:
    item: TrafficExtension | WasmPlugin = config.object
    spec = item.spec
    lua = spec.lua.inline_code if isinstance(spec, TrafficExtensionSpec) and spec.lua is not None else ""
    wasm = spec.wasm if isinstance(spec, TrafficExtensionSpec) else spec
    return Extension(
        config=config,
        name=extension_config_name(config.namespace, config.name),
        slot=_PHASES.get(spec.phase, HttpSlot.EXTENSION),
        is_network=wasm is not None and wasm.type is PluginType.NETWORK,
        matches=spec.match,
        wasm=None if lua else wasm,
        lua=lua,
        problem="" if lua or wasm is None or fetches or not _is_fetched(wasm) else _fetch_fault(wasm),
        script_fault=script_fault(lua),
    )


def _fits(match: TrafficSelector, side: Side, port: int) -> bool:
    wanted = {MatchMode.CLIENT: Side.CLIENT, MatchMode.SERVER: Side.SERVER}.get(match.mode)
    return (wanted is None or wanted is side) and (not match.ports or port in {item.number for item in match.ports})


def _extend(item: Compiled, extensions: tuple[Extension, ...]) -> Compiled:
    listener = listener_pb2.Listener.FromString(item.resource.body)
    used: dict[str, Extension] = {}
    chains = [*listener.filter_chains]
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    for chain in chains:
        side, port = side_of(listener, chain)
        here = [one for one in extensions if one.applies(side, port)]
        for one in _extend_chain(chain, here):
            used[one.name] = one
    return repacked(item, listener, [one.config.ref for one in used.values()]) if used else item


def _extend_chain(chain: Any, extensions: list[Extension]) -> list[Extension]:
    """Put the filters where they belong; the extensions that found a place."""
    http = [one for one in extensions if not one.is_network]
    placed = []
    for item in chain.filters:
        if http and item.typed_config.Is(_Manager.DESCRIPTOR):
            manager = _Manager.FromString(item.typed_config.value)
            made = [(one.slot, HttpFilter(name=one.name, config_discovery=_source(one))) for one in http]
            insert(manager.http_filters, made)
            item.typed_config.CopyFrom(any_of(manager))
            placed = http
    network = [one for one in extensions if one.is_network]
    if network and chain.filters:
        for one in network:
            made = listener_components_pb2.Filter(name=one.name, config_discovery=_source(one))
            chain.filters.insert(len(chain.filters) - 1, made)
    return placed + network


def _source(extension: Extension) -> config_source_pb2.ExtensionConfigSource:
    """Waited for without a limit: a request must not pass a filter that has not come yet."""
    source = agent_source(EXTENSIONS_CLUSTER) if extension.is_fetched else ads_source()
    return config_source_pb2.ExtensionConfigSource(config_source=source, type_urls=extension.type_urls)


def _config(extension: Extension) -> Compiled:
    if extension.wasm is None:
        code = base_pb2.DataSource(inline_string=extension.lua)
        content: Any = lua_pb2.Lua(default_source_code=code)
    else:
        kind = network_wasm_pb2.Wasm if extension.is_network else http_wasm_pb2.Wasm
        content = kind(config=_plugin(extension, extension.wasm))
    made = extension_pb2.TypedExtensionConfig(name=extension.name, typed_config=any_of(content))
    ready = packed(EXTENSION_CONFIG_TYPE, extension.name, made, origins=(extension.config.ref,))
    if extension.wasm is None or not extension.is_fetched or not extension.wasm.image_pull_secret:
        return ready
    return replace(ready, secrets=(pull_secret(extension.config.namespace, extension.wasm.image_pull_secret),))


def _plugin(extension: Extension, wasm: WasmSettings) -> wasm_pb2.PluginConfig:
    plugin = wasm_pb2.PluginConfig(
        name=extension.name,
        root_id=wasm.plugin_name,
        failure_policy=_FAILURES[wasm.fail_strategy],
        vm_config=wasm_pb2.VmConfig(runtime=_RUNTIME, code=_code(wasm)),
    )
    if wasm.plugin_config is not None:
        text = json.dumps(wasm.plugin_config, sort_keys=True, separators=(",", ":"))
        plugin.configuration.CopyFrom(any_of(wrappers_pb2.StringValue(value=text)))
    for variable in wasm.vm_config.env if wasm.vm_config is not None else ():
        if variable.value_from is EnvValueSource.HOST:
            plugin.vm_config.environment_variables.host_env_keys.append(variable.name)
        else:
            plugin.vm_config.environment_variables.key_values[variable.name] = variable.value or ""
    if extension.is_fetched:
        told = plugin.vm_config.environment_variables.key_values
        if wasm.image_pull_policy is not PullPolicy.UNSPECIFIED_POLICY:
            told[PULL_POLICY] = wasm.image_pull_policy
        if wasm.image_pull_secret:
            told[PULL_SECRET] = pull_secret(extension.config.namespace, wasm.image_pull_secret)
    return plugin


def _code(wasm: WasmSettings) -> base_pb2.AsyncDataSource:
    """A file of the proxy's, or what the agent beside it fetches: it keeps what it has, by the checksum."""
    code = base_pb2.AsyncDataSource()
    parts = urlsplit(wasm.url)
    if parts.scheme == "file":
        code.local.filename = parts.path
        return code
    if _is_fetched(wasm):
        code.remote.http_uri.uri = wasm.url
    else:
        query = urlencode({"url": wasm.url, "sha256": wasm.sha256})
        code.remote.http_uri.uri = f"http://{AGENT_CLUSTER}{FETCH_PATH}?{query}"
    code.remote.http_uri.cluster = AGENT_CLUSTER
    code.remote.http_uri.timeout.seconds = _FETCH_SECONDS
    code.remote.sha256 = wasm.sha256 or NO_SHA256
    return code


def _name_fault(older: Extension) -> str:
    """Both would have one extension config: Envoy would give one filter the other's content, and refuse it."""
    kind = older.config.object.kind
    return (
        f"There is a {kind} of this name in the namespace, and it is older: the two would share one extension config."
    )


def _is_fetched(wasm: WasmSettings) -> bool:
    """Images (a URL without a scheme is one), and modules whose checksum nobody has written down."""
    scheme = urlsplit(wasm.url).scheme
    return scheme not in ("file", "http", "https") or (scheme != "file" and not wasm.sha256)


def _fetch_fault(wasm: WasmSettings) -> str:
    return f"The module {wasm.url} has no checksum before it is fetched, and this proxy has no agent that fetches it."
