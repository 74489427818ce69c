"""Envoy's Node: who this proxy is, in Istio's words, so that Pilot (and any Istio tool) can read it.

`<type>~<ip>~<pod>.<namespace>~<namespace>.svc.<domain>`; everything else is metadata. Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from meshcore.xds.names import AUDIT_METADATA, EXTENSIONS_METADATA

_META, _META_JSON = "ISTIO_META_", "ISTIO_METAJSON_"
_LOCALITY_LABELS = ("topology.istio.io/locality", "istio-locality")
_REDUNDANT_LABELS = frozenset({"pod-template-hash"})

PROXY_TYPES = ("sidecar", "router")


@dataclass(frozen=True, slots=True)
class NodeInputs:
    """What the environment says about this workload. `environment` is read for ISTIO_META_* and ISTIO_METAJSON_*."""

    proxy_type: str
    pod_name: str
    namespace: str
    service_account: str
    instance_ips: tuple[str, ...]
    dns_domain: str
    environment: Mapping[str, str]
    proxy_config: Mapping[str, Any]
    proxy_metadata: Mapping[str, str]
    service_cluster: str
    pilot_sans: tuple[str, ...]
    health_port: int
    prometheus_port: int
    outlier_log: str = ""
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    """Those that the downward API's file has, and annotations likewise."""
    pod_annotations: Mapping[str, str] = field(default_factory=dict)


def build_node(inputs: NodeInputs) -> dict[str, Any]:
    """The Node as JSON with proto field names; INVALID when an ISTIO_METAJSON_ variable is not a JSON object."""
    metadata = _metadata(inputs)
    labels = metadata.get("LABELS", {})
    node: dict[str, Any] = {
        "id": "~".join(
            (
                inputs.proxy_type,
                inputs.instance_ips[0],
                f"{inputs.pod_name}.{inputs.namespace}",
                f"{inputs.namespace}.svc.{inputs.dns_domain}",
            )
        ),
        "cluster": _service_cluster(inputs, labels, metadata),
        "metadata": metadata,
    }
    if (locality := _locality(labels)) is not None:
        node["locality"] = locality
    return node


def agent_node(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node of the agent's own stream: the same proxy, marked so that Pilot never compiles for it."""
    return {**node, "metadata": {**node["metadata"], "GENERATOR": "agent"}}


def _metadata(inputs: NodeInputs) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    # ProxyConfig's proxyMetadata are defaults for the variables of the same name.
    for source in (inputs.proxy_metadata, inputs.environment):
        for name in sorted(source):
            if name.startswith(_META):
                metadata[name.removeprefix(_META)] = source[name]
            elif name.startswith(_META_JSON):
                metadata.update(_json_object(name, source[name]))
    given = _labels(_json_object("ISTIO_METAJSON_LABELS", inputs.environment.get("ISTIO_METAJSON_LABELS", "")))
    if given:
        metadata["STATIC_LABELS"] = given
    if labels := {**_labels(inputs.pod_labels), **given}:
        metadata["LABELS"] = labels
    if annotations := annotations_of(inputs.environment, inputs.pod_annotations):
        metadata["ANNOTATIONS"] = annotations
        # as Istio's ISTIO_METAJSON_ANNOTATIONS; what has no prefix could be taken for metadata of ours
        metadata.update({key: value for key, value in annotations.items() if "/" in key})
    metadata.update(
        {
            "NAME": inputs.pod_name,
            "POD_NAME": inputs.pod_name,
            "NAMESPACE": inputs.namespace,
            "SERVICE_ACCOUNT": inputs.service_account,
            "INSTANCE_IPS": ",".join(dict.fromkeys(inputs.instance_ips)),
            "PILOT_SAN": list(inputs.pilot_sans),
            "PROXY_CONFIG": dict(inputs.proxy_config),
            "ENVOY_STATUS_PORT": inputs.health_port,
            "ENVOY_PROMETHEUS_PORT": inputs.prometheus_port,
            "METADATA_DISCOVERY": "false",
            AUDIT_METADATA: "true",
            EXTENSIONS_METADATA: "true",
        }
    )
    if inputs.outlier_log:
        metadata["OUTLIER_LOG_PATH"] = inputs.outlier_log
    return metadata


def annotations_of(environment: Mapping[str, str], pod_annotations: Mapping[str, str]) -> dict[str, Any]:
    """The pod's annotations, from the downward API's file and from ISTIO_METAJSON_ANNOTATIONS, which counts."""
    given = _json_object("ISTIO_METAJSON_ANNOTATIONS", environment.get("ISTIO_METAJSON_ANNOTATIONS", ""))
    return {**pod_annotations, **given}


def _labels(labels: Mapping[str, Any]) -> dict[str, Any]:
    """A locality with slashes: a label of Kubernetes cannot hold them, so Istio lets dots stand for them."""
    return {
        key: str(value).replace(".", "/") if key in _LOCALITY_LABELS and "/" not in str(value) else value
        for key, value in labels.items()
        if key not in _REDUNDANT_LABELS
    }


def _json_object(name: str, text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise MeshError(ErrorCode.INVALID, f"{name} is not JSON") from error
    if not isinstance(value, dict):
        raise MeshError(ErrorCode.INVALID, f"{name} is not a JSON object")
    return value


def _service_cluster(inputs: NodeInputs, labels: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    if inputs.service_cluster and inputs.service_cluster != "istio-proxy":
        return inputs.service_cluster
    name = labels.get("app") or metadata.get("WORKLOAD_NAME") or "istio-proxy"
    return f"{name}.{inputs.namespace}"


def _locality(labels: Mapping[str, Any]) -> dict[str, str] | None:
    text = next((str(labels[label]) for label in _LOCALITY_LABELS if labels.get(label)), "")
    if not text:
        return None
    return {key: part for key, part in zip(("region", "zone", "sub_zone"), text.split("/"), strict=False) if part}
