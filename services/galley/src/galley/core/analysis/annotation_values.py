"""Which values the injector takes for the annotations that it checks (its own rules, not those of the kinds)."""

import ipaddress
import re
from collections.abc import Callable
from types import MappingProxyType

from meshcore.errors import MeshError
from meshcore.model.load import load_yaml_documents

Check = Callable[[str], str]
"""Says what is wrong with a value; empty when nothing is."""

_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?")
_BOOLEANS = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})
_INTERFACE = re.compile(r"[^\s/:]{1,15}")


def _interception_mode(value: str) -> str:
    return "" if value in ("REDIRECT", "TPROXY", "NONE") else f"interceptionMode is REDIRECT, TPROXY or NONE: {value}"


def _uint32(value: str) -> str:
    fits = value.isascii() and value.isdigit() and len(value) < 20 and int(value) < 2**32
    return "" if fits else f"{value!r} is not a whole number of 32 bits"


def _port(value: str) -> str:
    text = value.strip()
    fits = text.isascii() and text.isdigit() and len(text) < 20 and int(text) < 2**16
    return "" if fits else f"{value!r} is not a port"


def _ports(value: str) -> str:
    return next(filter(None, map(_port, value.split(","))), "") if value.strip() else ""


def _ports_or_all(value: str) -> str:
    return "" if value == "*" else _ports(value)


def _ranges(value: str) -> str:
    for cidr in value.split(",") if value else ():
        try:
            if "/" not in cidr:
                return f"{cidr!r} is not a CIDR range"
            ipaddress.ip_interface(cidr)
        except ValueError as error:
            return f"{cidr!r} is not a CIDR range: {error}"
    return ""


def _ranges_or_all(value: str) -> str:
    return "" if value == "*" else _ranges(value)


def _interfaces(value: str) -> str:
    wrong = [name for name in value.split(",") if not _INTERFACE.fullmatch(name)] if value else []
    return f"{wrong[0]!r} is not the name of a network interface" if wrong else ""


def _boolean(value: str) -> str:
    return "" if value in _BOOLEANS else f"{value!r} is not a boolean"


def _quantity(value: str) -> str:
    return "" if _QUANTITY.fullmatch(value) else f"{value!r} is not a quantity, as 100m or 128Mi"


def _proxy_config(value: str) -> str:
    try:
        documents = load_yaml_documents(value, "annotation")
    except MeshError as error:
        return f"not YAML: {error.violations[0].message if error.violations else error.detail}"
    if documents and not isinstance(documents[0].body, dict):
        return "not a mapping of ProxyConfig's fields"
    return ""


CHECKS: MappingProxyType[str, Check] = MappingProxyType(
    {
        "sidecar.istio.io/interceptionMode": _interception_mode,
        "status.sidecar.istio.io/port": _port,
        "readiness.status.sidecar.istio.io/initialDelaySeconds": _uint32,
        "readiness.status.sidecar.istio.io/periodSeconds": _uint32,
        "readiness.status.sidecar.istio.io/failureThreshold": _uint32,
        "traffic.sidecar.istio.io/includeOutboundIPRanges": _ranges_or_all,
        "traffic.sidecar.istio.io/excludeOutboundIPRanges": _ranges,
        "traffic.sidecar.istio.io/includeInboundPorts": _ports_or_all,
        "traffic.sidecar.istio.io/excludeInboundPorts": _ports,
        "traffic.sidecar.istio.io/excludeOutboundPorts": _ports,
        "traffic.sidecar.istio.io/excludeInterfaces": _interfaces,
        "traffic.sidecar.istio.io/kubevirtInterfaces": _interfaces,
        "istio.io/reroute-virtual-interfaces": _interfaces,
        "prometheus.istio.io/merge-metrics": _boolean,
        "proxy.istio.io/config": _proxy_config,
        "sidecar.istio.io/proxyCPU": _quantity,
        "sidecar.istio.io/proxyMemory": _quantity,
        "sidecar.istio.io/proxyCPULimit": _quantity,
        "sidecar.istio.io/proxyMemoryLimit": _quantity,
    }
)
"""The check of each annotation that has one."""
