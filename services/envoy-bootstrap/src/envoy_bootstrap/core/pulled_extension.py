"""Extensions whose module the agent pulls: what Pilot describes, and what Envoy gets of it. Pure."""

import contextlib
from dataclasses import dataclass, field
from typing import Any

from envoy.config.core.v3 import extension_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.wasm.v3 import wasm_pb2 as http_wasm_pb2
from envoy.extensions.filters.network.wasm.v3 import wasm_pb2 as network_wasm_pb2
from envoy.extensions.wasm.v3 import wasm_pb2
from google.protobuf.message import DecodeError
from meshcore.errors import ErrorCode, MeshError
from meshcore.xds.names import EXTENSIONS_CLUSTER
from meshcore.xds.pulled_module import NO_SHA256, PULL_POLICY, PULL_SECRET, STAND_INS

from envoy_bootstrap.core.last_good import objects_in

_KINDS = {False: http_wasm_pb2.Wasm, True: network_wasm_pb2.Wasm}
_NO_DESCRIPTION = "this is no description of a Wasm extension"
_ALWAYS, _IF_NOT_PRESENT = "Always", "IfNotPresent"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A module: `sha256` is the image's or empty, `secret` the name of the resource with credentials or empty."""

    url: str
    sha256: str = ""
    policy: str = ""
    secret: str = ""

    @property
    def always(self) -> bool:
        """Whether what was pulled before must not be used without a look at the registry."""
        return self.policy == _ALWAYS

    @property
    def if_not_present(self) -> bool:
        """Whether it may, even where its name says that it is the newest."""
        return self.policy == _IF_NOT_PRESENT


@dataclass(frozen=True, slots=True)
class PulledExtension:
    """One extension as Pilot describes it."""

    name: str
    wanted: Wanted
    is_network: bool
    fails_open: bool
    _config: Any = field(repr=False)

    @classmethod
    def read(cls, body: bytes) -> "PulledExtension":
        """INVALID for what is no description of one."""
        try:
            described = extension_pb2.TypedExtensionConfig.FromString(body)
            for is_network, kind in _KINDS.items():
                if described.typed_config.Is(kind.DESCRIPTOR):
                    config = kind.FromString(described.typed_config.value).config
                    return cls._of(described.name, config, is_network)
        except DecodeError as error:
            raise MeshError(ErrorCode.INVALID, _NO_DESCRIPTION) from error
        raise MeshError(ErrorCode.INVALID, _NO_DESCRIPTION)

    @classmethod
    def _of(cls, name: str, config: Any, is_network: bool) -> "PulledExtension":
        values = config.vm_config.environment_variables.key_values
        policy, secret = values.pop(PULL_POLICY, ""), values.pop(PULL_SECRET, "")
        remote = config.vm_config.code.remote
        sha256 = "" if remote.sha256 == NO_SHA256 else remote.sha256
        wanted = Wanted(remote.http_uri.uri, sha256, policy, secret)
        return cls(name, wanted, is_network, config.failure_policy == wasm_pb2.FailurePolicy.FAIL_OPEN, config)

    def with_module(self, path: str) -> bytes:
        """What Envoy gets once the module is a file."""
        made = _KINDS[self.is_network](config=self._config)
        made.config.vm_config.code.Clear()
        made.config.vm_config.code.local.filename = path
        return self._packed(made)

    @property
    def stand_in(self) -> bytes:
        """What Envoy gets as long as the module cannot be had: all pass, or nobody, by the plugin's failStrategy."""
        made = STAND_INS[self.is_network]()
        if self.is_network:
            made.stat_prefix = "wasm."
        if not self.fails_open:
            made.rules.action = rbac_pb2.RBAC.Action.ALLOW  # whom no policy allows is refused
        return self._packed(made)

    def _packed(self, content: Any) -> bytes:
        made = extension_pb2.TypedExtensionConfig(name=self.name)
        made.typed_config.Pack(content, deterministic=True)
        packed: bytes = made.SerializeToString(deterministic=True)
        return packed


def extensions_in_use(dump: str) -> frozenset[str]:
    """The extensions that the listeners of a config dump have from the agent."""
    asked = (item for item in objects_in(dump) if EXTENSIONS_CLUSTER in _clusters(item.get("config_discovery")))
    return frozenset(str(item.get("name")) for item in asked)


def _clusters(source: Any) -> list[str]:
    """Of an ExtensionConfigSource in JSON; none of whatever else has its name."""
    with contextlib.suppress(TypeError, KeyError):
        services = source["config_source"]["api_config_source"]["grpc_services"]
        return [one["envoy_grpc"]["cluster_name"] for one in services]
    return []
