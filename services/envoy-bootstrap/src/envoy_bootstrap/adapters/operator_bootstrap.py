"""What the operator has to say of the bootstrap: a file of his own (ISTIO_BOOTSTRAP, ProxyConfig's `customConfigFile`),
and one that Envoy merges into whatever it is started with (ISTIO_BOOTSTRAP_OVERRIDE)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.core.environment import AgentConfig, PodInfo
from envoy_bootstrap.core.pod_info import parse_pod_info


@dataclass(frozen=True, slots=True)
class OperatorBootstrap:
    """`custom` is None and `override` empty where there is no such file."""

    custom: Mapping[str, Any] | None = None
    override: str = ""


def read_operator_bootstrap(config: AgentConfig) -> OperatorBootstrap:
    """Read both; INVALID, with file and place, for one that is missing, no mapping, or a template."""
    custom = _read(config.custom_bootstrap)
    override = _read(config.bootstrap_override).replace("$(HOST_IP)", config.host_ip)
    if override:
        _parsed(override, config.bootstrap_override)
    return OperatorBootstrap(_parsed(custom, config.custom_bootstrap) if custom else None, override)


def read_pod_info(folder: Path) -> PodInfo:
    """The downward API's two files; a missing one says nothing."""
    texts = [path.read_text() if (path := folder / name).is_file() else "" for name in ("labels", "annotations")]
    return PodInfo(*(parse_pod_info(text) for text in texts))


def _read(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise MeshError(ErrorCode.INVALID, f"the bootstrap {path} cannot be read: {error}") from None


def _parsed(text: str, path: str) -> Mapping[str, Any]:
    if "{{" in text:
        raise MeshError(ErrorCode.INVALID, f"the bootstrap {path} is a template of Go: write the values themselves")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise MeshError(ErrorCode.INVALID, f"the bootstrap {path} is neither YAML nor JSON: {error}") from None
    if not isinstance(document, dict):
        raise MeshError(ErrorCode.INVALID, f"the bootstrap {path} is not a mapping")
    return document
