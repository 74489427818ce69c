"""The protocol of CNI plugins (CNI specification 1.1.0): what the runtime asks, and what it is answered. Pure.

A chained plugin: it runs behind the one that made the pod's network, and hands that one's result on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshcore.errors import ErrorCode, MeshError

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
COMMANDS = ("ADD", "DEL", "CHECK", "VERSION", "STATUS", "GC")
AGENT_NAME = "istio-cni-node-"
"""How the pods begin that install this plugin on their node."""

_CODES = {
    ErrorCode.UNSUPPORTED_MEDIA: 1,
    ErrorCode.GONE: 4,
    ErrorCode.INVALID: 7,
    ErrorCode.UNAVAILABLE: 11,
    ErrorCode.FAILED_PRECONDITION: 100,
}
"""The specification's: version, environment, configuration, again later; from 100 on they are the plugin's own."""
_UNDECODABLE = 6


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """What the network's configuration says to this plugin, in the words of Istio's."""

    version: str
    previous: Mapping[str, Any] | None = field(repr=False)
    run_dir: str
    excluded_namespaces: frozenset[str]
    own_namespace: str
    native_nftables: bool = False

    @property
    def kubeconfig(self) -> str:
        """The file that says how to reach the API server."""
        return f"{self.run_dir}/istio-cni-kubeconfig"


@dataclass(frozen=True, slots=True)
class Attachment:
    """The pod whose network is made: its namespace and name are empty for what is no pod."""

    pod_namespace: str
    pod_name: str
    network_namespace: str


class CniError(Exception):
    """What goes to the runtime, with a code of the specification."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def of(cls, error: MeshError) -> "CniError":
        """The same error in the words of the protocol."""
        return cls(_CODES.get(error.code, 100), str(error))

    def answer(self, version: str) -> str:
        """The document of a failure."""
        return json.dumps({"cniVersion": version, "code": self.code, "msg": str(self)})


def parse_plugin_config(text: str) -> PluginConfig:
    """What comes on standard input; `CniError` when it cannot be read or is of an unknown version."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise CniError(_UNDECODABLE, "the network configuration is no JSON") from None
    if not isinstance(document, dict):
        raise CniError(_UNDECODABLE, "the network configuration is no JSON object")
    version = document.get("cniVersion", "0.3.1")
    if version not in VERSIONS:
        raise CniError(1, f"cniVersion {str(version)[:20]!a} is not known; known are {', '.join(VERSIONS)}")
    previous, excluded = document.get("prevResult"), document.get("exclude_namespaces") or []
    run_dir, own = document.get("cni_agent_run_dir", "/var/run/istio-cni"), document.get("pod_namespace", "")
    native = document.get("native_nftables", False)
    right = {
        "prevResult": previous is None or isinstance(previous, dict),
        "exclude_namespaces": isinstance(excluded, list) and all(isinstance(name, str) for name in excluded),
        "cni_agent_run_dir": isinstance(run_dir, str),
        "pod_namespace": isinstance(own, str),
        "native_nftables": isinstance(native, bool),
    }
    if wrong := [name for name, is_right in right.items() if not is_right]:
        raise CniError(7, f"the network configuration is not valid: {', '.join(wrong)}")
    return PluginConfig(version, previous, run_dir, frozenset(excluded), own, native)


def parse_attachment(environment: Mapping[str, str]) -> Attachment:
    """The pod of CNI_ARGS (`K8S_POD_NAME=...;...`) and the namespace of CNI_NETNS."""
    pairs = (item.partition("=") for item in environment.get("CNI_ARGS", "").split(";"))
    arguments = {name: value for name, _, value in pairs}
    return Attachment(
        arguments.get("K8S_POD_NAMESPACE", ""),
        arguments.get("K8S_POD_NAME", ""),
        environment.get("CNI_NETNS", ""),
    )


def parse_command(environment: Mapping[str, str]) -> str:
    """What is to be done; `CniError` for anything that the specification does not have."""
    command = environment.get("CNI_COMMAND", "")
    if command not in COMMANDS:
        raise CniError(4, f"CNI_COMMAND {command[:20]!a} is not known")
    return command


def left_alone(config: PluginConfig, attachment: Attachment) -> str | None:
    """Why a pod is left alone before anybody is asked about it; None when it is to be looked at."""
    if not (attachment.pod_namespace and attachment.pod_name):
        return "it is no pod"
    if attachment.pod_namespace in config.excluded_namespaces:
        return f"namespace {attachment.pod_namespace} is left out"
    # without it nobody would give this plugin its way to the API server
    if attachment.pod_namespace == config.own_namespace and attachment.pod_name.startswith(AGENT_NAME):
        return "it is what installs this plugin"
    return None


def result(config: PluginConfig) -> str:
    """What the plugin before has made, handed on."""
    return json.dumps(config.previous if config.previous is not None else {"cniVersion": config.version})


def versions(version: str) -> str:
    """What VERSION is answered."""
    return json.dumps({"cniVersion": version, "supportedVersions": list(VERSIONS)})
