"""WasmPlugin and TrafficExtension: code in the path of requests (extensions.istio.io)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from meshcore.model.base import Int32, MeshModel, StatusObject, UInt32
from meshcore.model.cel import Cel, MapKeys, has
from meshcore.model.destination_rule import PolicySelector
from meshcore.model.policy_target import (
    ONE_TARGET,
    SELECTOR_OR_TARGETS,
    PolicyTargetReference,
    TargetReferences,
)
from meshcore.model.url import is_absolute_url, url_fault


class PluginPhase(StrEnum):
    """Where in the filter chain a WasmPlugin runs."""

    UNSPECIFIED_PHASE = "UNSPECIFIED_PHASE"
    AUTHN = "AUTHN"
    AUTHZ = "AUTHZ"
    STATS = "STATS"


class ExtensionPhase(StrEnum):
    """Where in the filter chain a TrafficExtension runs."""

    UNSPECIFIED = "UNSPECIFIED"
    AUTHN = "AUTHN"
    AUTHZ = "AUTHZ"
    STATS = "STATS"


class PullPolicy(StrEnum):
    """When an OCI image is fetched again."""

    UNSPECIFIED_POLICY = "UNSPECIFIED_POLICY"
    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"


class PluginType(StrEnum):
    """HTTP filter or network filter."""

    UNSPECIFIED_PLUGIN_TYPE = "UNSPECIFIED_PLUGIN_TYPE"
    HTTP = "HTTP"
    NETWORK = "NETWORK"


class FailStrategy(StrEnum):
    """What becomes of requests when the plugin cannot run."""

    FAIL_CLOSE = "FAIL_CLOSE"
    FAIL_OPEN = "FAIL_OPEN"
    FAIL_RELOAD = "FAIL_RELOAD"


class EnvValueSource(StrEnum):
    """Written here, or taken from the proxy's own environment."""

    INLINE = "INLINE"
    HOST = "HOST"


_SCHEMES = ("", "file", "http", "https", "oci")


def _is_module_url(url: str) -> bool:
    return url_fault(url if is_absolute_url(url) else f"http://{url}", _SCHEMES) is None


_MODULE_URL = Cel(
    'isURL(self) ? (url(self).getScheme() in ["", "http", "https", "oci", "file"]) : '
    '(isURL("http://" + self) && url("http://" + self).getScheme() in ["", "http", "https", "oci", "file"])',
    "url must have schema one of [http, https, file, oci]",
    _is_module_url,
)


class VmEnv(MeshModel):
    """One environment variable of the plugin."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    value_from: EnvValueSource = EnvValueSource.INLINE
    value: Annotated[str, Field(max_length=2048)] | None = None
    cel = (
        Cel(
            '(has(self.valueFrom) ? self.valueFrom : "") != "HOST" || !has(self.value)',
            "value may only be set when valueFrom is INLINE",
            lambda variable: variable.value_from is not EnvValueSource.HOST or not has(variable, "value"),
        ),
    )


class VmConfig(MeshModel):
    """The plugin's virtual machine."""

    env: Annotated[tuple[VmEnv, ...], Field(max_length=256), MapKeys(("name",))] = ()


class MatchMode(StrEnum):
    """The side of a connection."""

    UNDEFINED = "UNDEFINED"
    CLIENT = "CLIENT"
    SERVER = "SERVER"
    CLIENT_AND_SERVER = "CLIENT_AND_SERVER"


class MatchPort(MeshModel):
    """A port by its number."""

    number: Annotated[UInt32, Field(ge=1, le=65535)]


class TrafficSelector(MeshModel):
    """Side and ports of the traffic that is meant."""

    mode: MatchMode = MatchMode.UNDEFINED
    ports: Annotated[tuple[MatchPort, ...], MapKeys(("number",))] = ()


class WasmSettings(MeshModel):
    """A module: where it is, how it is checked, what it is told."""

    url: Annotated[str, Field(min_length=1), _MODULE_URL]
    sha256: Annotated[str, Field(pattern=r"(^$|^[a-f0-9]{64}$)")] = ""
    image_pull_policy: PullPolicy = PullPolicy.UNSPECIFIED_POLICY
    image_pull_secret: Annotated[str, Field(min_length=1, max_length=253)] = ""
    verification_key: str = ""
    plugin_config: Mapping[str, Any] | None = None
    plugin_name: Annotated[str, Field(min_length=1, max_length=256)] = ""
    fail_strategy: FailStrategy = FailStrategy.FAIL_CLOSE
    vm_config: VmConfig | None = None
    type: PluginType = PluginType.UNSPECIFIED_PLUGIN_TYPE


class WasmPluginSpec(WasmSettings):
    """A module, its targets and its place."""

    selector: PolicySelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetReferences = ()
    phase: PluginPhase = PluginPhase.UNSPECIFIED_PHASE
    priority: Int32 | None = None
    match: tuple[TrafficSelector, ...] = ()
    cel = (ONE_TARGET,)


class WasmPlugin(StatusObject):
    """A WebAssembly filter."""

    spec: WasmPluginSpec


class LuaSettings(MeshModel):
    """A script."""

    inline_code: Annotated[str, Field(min_length=1, max_length=65536)]


class TrafficExtensionSpec(MeshModel):
    """A module or a script, its targets and its place."""

    selector: PolicySelector | None = None
    target_refs: TargetReferences = ()
    phase: ExtensionPhase = ExtensionPhase.UNSPECIFIED
    priority: Int32 | None = None
    match: tuple[TrafficSelector, ...] = ()
    wasm: WasmSettings | None = None
    lua: LuaSettings | None = None
    one_of = (("wasm", "lua"),)
    cel = (
        SELECTOR_OR_TARGETS,
        Cel(
            "has(self.wasm) != has(self.lua)",
            "exactly one of wasm or lua must be set",
            lambda spec: has(spec, "wasm") != has(spec, "lua"),
        ),
    )


class TrafficExtension(StatusObject):
    """A WebAssembly or Lua filter."""

    spec: TrafficExtensionSpec
