"""MeshConfig: mesh-wide behaviour, the `mesh` key of ConfigMap `istio` in the root namespace (mesh/v1alpha1).

Defaults are Istio's (pkg/config/mesh). Fields that are not modelled yet are kept out and listed by
`unknown_mesh_config_fields`, so that they can be warned of: an operator's file must not stop the mesh.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

import yaml
from pydantic import ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from meshcore.errors import ErrorCode, MeshError
from meshcore.model.base import Bool, Duration, Int32, MeshModel
from meshcore.model.destination_rule import LocalityLbSetting, TcpKeepalive
from meshcore.model.sidecar import TlsProtocol
from meshcore.model.validation import violations_of
from meshcore.model.virtual_service import HttpRetry

CONFIG_MAP_NAME = "istio"
MESH_KEY = "mesh"
ROOT_NAMESPACE = "istio-system"


class MeshConfigModel(MeshModel):
    """A message of MeshConfig; unknown fields are ignored here."""

    model_config = ConfigDict(extra="ignore")


class MeshOutboundMode(StrEnum):
    """What becomes of traffic to hosts that nobody knows."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"


class MeshOutboundTrafficPolicy(MeshConfigModel):
    """Default of outbound traffic."""

    mode: MeshOutboundMode = MeshOutboundMode.ALLOW_ANY


class InboundMode(StrEnum):
    """Where an inbound connection is sent on to."""

    PASSTHROUGH = "PASSTHROUGH"
    LOCALHOST = "LOCALHOST"


class InboundTrafficPolicy(MeshConfigModel):
    """Default of inbound traffic."""

    mode: InboundMode = InboundMode.PASSTHROUGH


class Normalization(StrEnum):
    """How request paths are normalised before they are matched."""

    DEFAULT = "DEFAULT"
    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


class PathNormalization(MeshConfigModel):
    """Path normalisation."""

    normalization: Normalization = Normalization.DEFAULT


class MeshTlsConfig(MeshConfigModel):
    """TLS between workloads."""

    min_protocol_version: TlsProtocol = TlsProtocol.TLS_AUTO


class DefaultProxyConfig(MeshConfigModel):
    """The part of ProxyConfig that the control plane reads."""

    drain_duration: Duration = timedelta(seconds=45)
    termination_drain_duration: Duration = timedelta(seconds=5)
    discovery_address: str = "istiod.istio-system.svc:15012"
    proxy_admin_port: Int32 = 15000
    status_port: Int32 = 15020
    stat_name_length: Int32 = 189
    concurrency: Int32 | None = None
    proxy_metadata: Mapping[str, str] = {}
    hold_application_until_proxy_starts: Bool | None = None


class MeshConfig(MeshConfigModel):
    """Mesh-wide behaviour; every default is Istio's, except `max_inbound_connection_duration`, which is ours."""

    proxy_listen_port: Int32 = 15001
    proxy_inbound_listen_port: Int32 = 15006
    proxy_http_port: Int32 = 0
    connect_timeout: Duration = timedelta(seconds=10)
    protocol_detection_timeout: Duration = timedelta(0)
    dns_refresh_rate: Duration = timedelta(seconds=60)
    tcp_keepalive: TcpKeepalive | None = None
    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    root_namespace: str = ROOT_NAMESPACE
    enable_auto_mtls: Bool = True
    mesh_mtls: MeshTlsConfig = MeshTlsConfig()
    outbound_traffic_policy: MeshOutboundTrafficPolicy = MeshOutboundTrafficPolicy()
    inbound_traffic_policy: InboundTrafficPolicy = InboundTrafficPolicy()
    path_normalization: PathNormalization = PathNormalization()
    default_service_export_to: tuple[str, ...] = ("*",)
    default_virtual_service_export_to: tuple[str, ...] = ("*",)
    default_destination_rule_export_to: tuple[str, ...] = ("*",)
    default_http_retry_policy: HttpRetry | None = None
    locality_lb_setting: LocalityLbSetting = LocalityLbSetting(enabled=True)
    default_config: DefaultProxyConfig = DefaultProxyConfig()
    access_log_file: str = ""
    access_log_format: str = ""
    enable_tracing: Bool = False
    max_inbound_connection_duration: Duration = timedelta(hours=1)
    """Inbound HTTP connections are closed at this age, because certificates are checked at the handshake only."""

    model_config = ConfigDict(
        extra="ignore",
        alias_generator=lambda name: {"mesh_mtls": "meshMTLS"}.get(name) or to_camel(name),
    )


def parse_mesh_config(text: str) -> MeshConfig:
    """Read the `mesh` key; INVALID with all violations when it is not YAML or a field has a wrong value."""
    document = _load(text)
    try:
        return MeshConfig.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise MeshError(ErrorCode.INVALID, "the mesh config is not valid", violations_of(error)) from None


def unknown_mesh_config_fields(text: str) -> tuple[str, ...]:
    """Top-level fields of the mesh config that this version does not read."""
    known = {field.alias for field in MeshConfig.model_fields.values()}
    return tuple(sorted(str(name) for name in _load(text) if name not in known))


def _load(text: str) -> dict[Any, Any]:
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise MeshError(ErrorCode.INVALID, f"the mesh config is not YAML: {error}") from None
    if not isinstance(document, dict):
        raise MeshError(ErrorCode.INVALID, "the mesh config is not a YAML mapping")
    return document
