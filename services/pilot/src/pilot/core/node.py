"""Istio's reading of Envoy's Node: id and metadata keys. What is wrong with one is said by its name. Pure."""

import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from meshcore.errors import ErrorCode, MeshError
from meshcore.hosts import DEFAULT_DOMAIN
from meshcore.model.default_proxy_config import ProxyHeaders
from meshcore.xds.names import AUDIT_METADATA, EXTENSIONS_METADATA
from pydantic import ValidationError

from pilot.core.certificate_sources import certificate_sources
from pilot.core.proxy import GatewayTopology, Interception, Proxy, ProxyType, text_of
from pilot.core.registry import Locality

_MAX_UINT32 = 2**32 - 1
_KUBERNETES = ".svc."


def parse_node(node: Message | Mapping[str, Any]) -> Proxy:
    """Read Envoy's Node (the message, or its JSON form); INVALID says what is wrong with it."""
    document = _document(node) if isinstance(node, Message) else node
    node_id = str(document.get("id", ""))
    parts = node_id.split("~")
    if len(parts) != 4:
        raise _invalid(f"node id {node_id!r} is not of the form <type>~<ip>~<name>.<namespace>~<domain>")
    if parts[0] not in set(ProxyType):
        raise _invalid(f"node id {node_id!r} names no known proxy type")
    metadata = document.get("metadata") or {}
    addresses = tuple(part.strip() for part in text_of(metadata, "INSTANCE_IPS").split(",") if part.strip()) or (
        parts[1],
    )
    if not all(map(_is_address, addresses)):
        raise _invalid(f"node id {node_id!r} and INSTANCE_IPS give no valid IP address")
    namespace = text_of(metadata, "NAMESPACE") or parts[3].split(".")[0]
    domain = parts[3].partition(".svc.")[2] or DEFAULT_DOMAIN
    interception = text_of(metadata, "INTERCEPTION_MODE") or "REDIRECT"
    if interception not in set(Interception):
        raise _invalid(f"INTERCEPTION_MODE {interception!r} is none of {', '.join(Interception)}")
    labels = metadata.get("LABELS") or {}
    if not isinstance(labels, Mapping):
        raise _invalid("LABELS is no map of labels")
    place = document.get("locality") or {}
    return Proxy(
        id=parts[2],
        node_id=node_id,
        type=ProxyType(parts[0]),
        namespace=namespace,
        service_account=text_of(metadata, "SERVICE_ACCOUNT"),
        labels={str(key): str(value) for key, value in labels.items()},
        locality=Locality(
            place.get("region", ""), place.get("zone", ""), place.get("sub_zone", place.get("subZone", ""))
        ),
        network=text_of(metadata, "NETWORK"),
        cluster=text_of(metadata, "CLUSTER_ID"),
        version=text_of(metadata, "ISTIO_VERSION"),
        interception=Interception(interception),
        domain=domain,
        search="" if _KUBERNETES in f".{parts[3]}." else parts[3],
        generator=text_of(metadata, "GENERATOR"),
        instance_ips=addresses,
        app_address=text_of(metadata, "MESHCORE_APP_ADDRESS"),
        http_proxy_port=_number(metadata, "HTTP_PROXY_PORT", 0),
        status_port=_number(metadata, "ENVOY_STATUS_PORT", 15020),
        unprivileged=text_of(metadata, "UNPRIVILEGED_POD").lower() == "true",
        headers=_headers(metadata.get("PROXY_CONFIG")),
        captures_dns=text_of(metadata, "DNS_CAPTURE").lower() == "true",
        topology=_topology(metadata.get("PROXY_CONFIG")) if parts[0] == ProxyType.ROUTER else None,
        audits=text_of(metadata, AUDIT_METADATA) == "true",
        fetches=text_of(metadata, EXTENSIONS_METADATA) == "true",
        logs_to_service=_logs_to_service(metadata.get("PROXY_CONFIG")),
        certificates=certificate_sources(metadata),
        auto_register_group=text_of(metadata, "AUTO_REGISTER_GROUP"),
        workload=text_of(metadata, "WORKLOAD_NAME"),
        pod_ports=_pod_ports(metadata.get("POD_PORTS")),
        metadata=metadata,
        metadata_size=node.metadata.ByteSize() if isinstance(node, Message) else 0,
    )


def _document(node: Any) -> Mapping[str, Any]:
    """What is read of it: the rest, 500 names of extensions in the case of Envoy, would take forty times as long."""
    try:
        metadata, locality = map(json_format.MessageToDict, (node.metadata, node.locality))
    except (json_format.Error, ValueError) as error:
        raise _invalid(f"the node has no JSON form: {error}") from None
    return {"id": node.id, "metadata": metadata, "locality": locality}


def _number(metadata: Mapping[str, Any], key: str, default: int, most: int = 65535) -> int:
    """A whole number, or text of one; a port unless `most` says otherwise."""
    value = metadata.get(key)
    if value is None or value == "":
        return default
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(most)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most or value != int(value):
        raise _invalid(f"{key} {str(value)[:40]!r} is no whole number from 0 to {most}")
    return int(value)


def _logs_to_service(config: Any) -> bool:
    """Whether the proxy's ProxyConfig has the address of an access log service."""
    found = config.get("envoyAccessLogService") if isinstance(config, Mapping) else None
    return isinstance(found, Mapping) and bool(found.get("address"))


def _headers(config: Any) -> ProxyHeaders | None:
    """`proxyHeaders` of the proxy's ProxyConfig; None when it has none, or none that can be read."""
    found = config.get("proxyHeaders") if isinstance(config, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    try:
        return ProxyHeaders.model_validate(found)
    except ValidationError:
        return None


def _topology(config: Any) -> GatewayTopology | None:
    """`gatewayTopology` of the proxy's ProxyConfig; None when it has none."""
    found = config.get("gatewayTopology") if isinstance(config, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    forward = text_of(found, "forwardClientCertDetails")
    return GatewayTopology(_number(found, "numTrustedProxies", 0, _MAX_UINT32), forward, "proxyProtocol" in found)


def _pod_ports(value: Any) -> dict[str, int]:
    """POD_PORTS is JSON in a string: a list of container ports."""
    try:
        ports = json.loads(value) if isinstance(value, str) and value else value or []
    except (ValueError, RecursionError):
        return {}
    found = [item for item in ports if isinstance(item, dict) and item.get("name")] if isinstance(ports, list) else []
    return {str(item["name"]): _number(item, "containerPort", 0) for item in found}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # a zone means something on its own machine only


def _invalid(detail: str) -> MeshError:
    return MeshError(ErrorCode.INVALID, detail)
