"""What a pod may say about its sidecar, checked before anything is rendered. Pure.

Every violation is returned, each with the annotation's whole path. Control characters are refused in every annotation
that reaches the template: nothing in a pod may look like structure to whoever reads the result.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from meshcore.errors import ErrorCode, MeshError, Violation

from injector.core.yaml_documents import read_document

INTERCEPTION_MODE = "sidecar.istio.io/interceptionMode"
STATUS_PORT = "status.sidecar.istio.io/port"
PROXY_CONFIG = "proxy.istio.io/config"
TRAFFIC = "traffic.sidecar.istio.io/"
READINESS = "readiness.status.sidecar.istio.io/"
SIDECAR = "sidecar.istio.io/"

LARGEST_ANNOTATIONS = 256 * 1024
"""Characters of all annotations together: Kubernetes' own limit, asked before anything is parsed."""
LARGEST_PROXY_CONFIG = 32 * 1024

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_QUANTITY = re.compile(r"\+?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?")
_INTERFACE = re.compile(r"[A-Za-z0-9_.+@:-]{1,15}")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}")
_LOG_LEVEL = re.compile(r"[A-Za-z0-9_.:,-]{1,512}")
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

Check = Callable[[str], str | None]
"""Gives what is expected instead when the text is wrong, None when it is right."""


def annotation_violations(annotations: Mapping[str, Any]) -> tuple[Violation, ...]:
    """All that is wrong with the annotations this injector reads; unknown ones are nobody's business."""
    found = []
    if (size := sum(len(str(name)) + len(str(value)) for name, value in annotations.items())) > LARGEST_ANNOTATIONS:
        return (Violation("metadata.annotations", f"has {size} characters", f"at most {LARGEST_ANNOTATIONS}"),)
    for name in sorted(annotations):
        value = annotations[name]
        field = f"metadata.annotations[{name}]"
        if not isinstance(value, str):
            found.append(Violation(field, "is not a string", "a string"))
            continue
        check = CHECKS.get(name)
        if check is not None and (expected := check(value)) is not None:
            found.append(Violation(field, f"{_shown(value)} is not valid", expected))
    return tuple(found)


def require_valid(annotations: Mapping[str, Any]) -> None:
    """Raise INVALID with every violation."""
    if violations := annotation_violations(annotations):
        raise MeshError(ErrorCode.INVALID, "invalid sidecar annotations", violations)


def split_list(text: str) -> tuple[str, ...]:
    """Items of a comma-separated annotation, without blanks; the empty text has none."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _shown(value: str) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _plain(check: Check) -> Check:
    return lambda text: "text without control characters" if _CONTROL.search(text) else check(text)


def _one_of(*allowed: str) -> Check:
    return lambda text: None if text in allowed else " or ".join(allowed)


def _matches(pattern: re.Pattern[str], expected: str) -> Check:
    return lambda text: None if pattern.fullmatch(text) else expected


def _uint32(text: str) -> str | None:
    right = text.isascii() and text.isdigit() and int(text[:12]) <= 0xFFFFFFFF and len(text) <= 10
    return None if right else "a number from 0 to 4294967295"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535


def _port(text: str) -> str | None:
    return None if _is_port(text) else "a port from 0 to 65535"


def _ports(*, star: bool) -> Check:
    def check(text: str) -> str | None:
        if star and text == "*":
            return None
        return None if all(_is_port(port) for port in split_list(text)) else f"ports from 0 to 65535{', or *' * star}"

    return check


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text and "%" not in text


def _cidrs(*, star: bool) -> Check:
    def check(text: str) -> str | None:
        if star and text == "*":
            return None
        return None if all(_is_cidr(cidr) for cidr in split_list(text)) else f"CIDR blocks{', or *' * star}"

    return check


def _interfaces(text: str) -> str | None:
    return None if all(_INTERFACE.fullmatch(name) for name in split_list(text)) else "names of network interfaces"


def _json_map(text: str) -> str | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    right = isinstance(document, dict) and all(isinstance(value, dict) for value in document.values())
    return None if right else "a JSON object of objects"


def _proxy_config(text: str) -> str | None:
    if len(text) > LARGEST_PROXY_CONFIG:
        return f"a ProxyConfig of at most {LARGEST_PROXY_CONFIG} characters"
    # ProxyConfig has no use for aliases, and who copies the document may write each of them out
    try:
        document = read_document(text)
        has_alias = any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text))
    except yaml.YAMLError:
        return "a ProxyConfig in YAML"
    right = not has_alias and (document is None or isinstance(document, dict))
    return None if right else "a ProxyConfig in YAML, without aliases"


_BOOLEAN = _one_of("true", "false")
_QUANTITY_CHECK = _matches(_QUANTITY, "a Kubernetes quantity such as 100m or 128Mi")

CHECKS: Mapping[str, Check] = {
    **{
        name: _plain(check)
        for name, check in {
            INTERCEPTION_MODE: _one_of("REDIRECT", "TPROXY", "NONE"),
            STATUS_PORT: _port,
            READINESS + "initialDelaySeconds": _uint32,
            READINESS + "periodSeconds": _uint32,
            READINESS + "failureThreshold": _uint32,
            TRAFFIC + "includeOutboundIPRanges": _cidrs(star=True),
            TRAFFIC + "excludeOutboundIPRanges": _cidrs(star=False),
            TRAFFIC + "includeInboundPorts": _ports(star=True),
            TRAFFIC + "excludeInboundPorts": _ports(star=False),
            TRAFFIC + "includeOutboundPorts": _ports(star=True),
            TRAFFIC + "excludeOutboundPorts": _ports(star=False),
            TRAFFIC + "excludeInterfaces": _interfaces,
            TRAFFIC + "kubevirtInterfaces": _interfaces,
            "istio.io/reroute-virtual-interfaces": _interfaces,
            SIDECAR + "proxyImage": _matches(_IMAGE, "an image name"),
            SIDECAR + "proxyImageType": _matches(_IMAGE, "an image variant such as debug"),
            SIDECAR + "logLevel": _matches(_LOG_LEVEL, "an Envoy log level"),
            SIDECAR + "componentLogLevel": _matches(_LOG_LEVEL, "component:level,..."),
            SIDECAR + "agentLogLevel": _matches(_LOG_LEVEL, "scope:level,..."),
            SIDECAR + "proxyCPU": _QUANTITY_CHECK,
            SIDECAR + "proxyMemory": _QUANTITY_CHECK,
            SIDECAR + "proxyCPULimit": _QUANTITY_CHECK,
            SIDECAR + "proxyMemoryLimit": _QUANTITY_CHECK,
            SIDECAR + "bootstrapOverride": _matches(_DNS_NAME, "the name of a ConfigMap"),
            SIDECAR + "rewriteAppHTTPProbers": _BOOLEAN,
            SIDECAR + "nativeSidecar": _BOOLEAN,
            "prometheus.istio.io/merge-metrics": _BOOLEAN,
        }.items()
    },
    # these three are documents, which may have lines; they are parsed, never pasted
    SIDECAR + "userVolume": _json_map,
    SIDECAR + "userVolumeMount": _json_map,
    PROXY_CONFIG: _proxy_config,
}
