"""MeshConfig: mesh-wide behaviour, the `mesh` key of ConfigMap `istio` in the root namespace (mesh/v1alpha1).

Defaults are Istio's (pkg/config/mesh).
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from meshcore.model.base import AnyDuration, Bool, Int32, MeshModel
from meshcore.model.default_proxy_config import DefaultProxyConfig
from meshcore.model.destination_rule import (
    ClientTlsSettings,
    ConnectionPoolSettings,
    LocalityLbSetting,
    OutlierDetection,
    TcpKeepalive,
    ZoneAwareLbSetting,
)
from meshcore.model.extension_provider import DefaultProviders, ExtensionProvider
from meshcore.model.mesh_document import parse_mesh_document
from meshcore.model.sidecar import TlsProtocol
from meshcore.model.virtual_service import HttpRetry

CONFIG_MAP_NAME = "istio"
MESH_KEY = "mesh"
NETWORKS_KEY = "meshNetworks"
ROOT_NAMESPACE = "istio-system"


class MeshOutboundMode(StrEnum):
    """What becomes of traffic to hosts that nobody knows."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"
    ALLOW_ANY_DYNAMIC_DNS = "ALLOW_ANY_DYNAMIC_DNS"


class MeshOutboundTrafficPolicy(MeshModel):
    """Default of outbound traffic."""

    mode: MeshOutboundMode = MeshOutboundMode.ALLOW_ANY
    tls: ClientTlsSettings | None = None


class InboundMode(StrEnum):
    """Where an inbound connection is sent on to."""

    PASSTHROUGH = "PASSTHROUGH"
    LOCALHOST = "LOCALHOST"


class InboundTrafficPolicy(MeshModel):
    """Default of inbound traffic."""

    mode: InboundMode = InboundMode.PASSTHROUGH


class Normalization(StrEnum):
    """How request paths are normalised before they are matched."""

    DEFAULT = "DEFAULT"
    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


class PathNormalization(MeshModel):
    """Path normalisation."""

    normalization: Normalization = Normalization.DEFAULT


class MeshTlsConfig(MeshModel):
    """TLS between workloads, or of everything else."""

    min_protocol_version: TlsProtocol = TlsProtocol.TLS_AUTO
    ecdh_curves: tuple[str, ...] = ()
    cipher_suites: tuple[str, ...] = ()


class IngressControllerMode(StrEnum):
    """Which Ingress objects are taken up."""

    UNSPECIFIED = "UNSPECIFIED"
    OFF = "OFF"
    DEFAULT = "DEFAULT"
    STRICT = "STRICT"


class AccessLogEncoding(StrEnum):
    """Lines of text, or JSON."""

    TEXT = "TEXT"
    JSON = "JSON"


class DefaultH2Upgrade(StrEnum):
    """Whether HTTP/1 is upgraded to HTTP/2 where no DestinationRule says anything."""

    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class CompliancePolicy(StrEnum):
    """Standards for TLS; the words of Istio."""

    NONE = ""
    FIPS_140_2 = "fips-140-2"
    FIPS_140_3 = "fips-140-3"
    PQC = "pqc"


class RequestAudit(StrEnum):
    """Of which requests a record is kept: denied ones and those that an AUDIT policy matches, all, or none."""

    SELECTED = "SELECTED"
    ALL = "ALL"
    NONE = "NONE"


class ConfigResource(StrEnum):
    """What a source of config is asked for."""

    SERVICE_REGISTRY = "SERVICE_REGISTRY"


class ConfigSource(MeshModel):
    """Where a control plane takes its config from: `xds://`, `fs://` or `k8s://`."""

    address: str = ""
    tls_settings: ClientTlsSettings | None = None
    subscribed_resources: tuple[ConfigResource, ...] = ()


class CertificateData(MeshModel):
    """Further root certificates, and for whom they hold."""

    pem: str | None = None
    spiffe_bundle_url: str | None = None
    cert_signers: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()
    one_of = (("pem", "spiffe_bundle_url"),)


class DnsCertificate(MeshModel):
    """Deprecated: a certificate that the control plane gets signed."""

    secret_name: str = ""
    dns_names: tuple[str, ...] = ()


class LabelRequirement(MeshModel):
    """`In`, `NotIn`, `Exists` or `DoesNotExist`."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class LabelSelector(MeshModel):
    """A Kubernetes label selector; everything in it must hold."""

    match_labels: Mapping[str, str] = {}
    match_expressions: tuple[LabelRequirement, ...] = ()


class ClusterLocality(MeshModel):
    """Whether the endpoints of a service are for clients of the same cluster only."""

    cluster_local: Bool = False


class ServiceSettings(MeshModel):
    """Settings of the services that match."""

    settings: ClusterLocality | None = None
    hosts: tuple[str, ...] = ()


class ServiceScope(StrEnum):
    """How far a service is seen."""

    LOCAL = "LOCAL"
    GLOBAL = "GLOBAL"


class ServiceScopeConfig(MeshModel):
    """The scope of the services that match (ambient)."""

    namespace_selector: LabelSelector | None = None
    services_selector: LabelSelector | None = None
    scope: ServiceScope = ServiceScope.LOCAL


class ExternalCa(MeshModel):
    """A CA that signs in the control plane's stead."""

    address: str = ""
    tls_settings: ClientTlsSettings | None = None
    request_timeout: AnyDuration | None = None
    istiod_side: Bool = True


class DefaultTrafficPolicy(MeshModel):
    """What holds for services without a DestinationRule."""

    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None


class Visibility(StrEnum):
    """To whom a ServiceEntry is exported."""

    VISIBILITY_UNSPECIFIED = "VISIBILITY_UNSPECIFIED"
    NONE = "NONE"
    NAMESPACE = "NAMESPACE"
    PUBLIC = "PUBLIC"


class VisibilityMatch(MeshModel):
    """Namespaces that are meant."""

    namespace_selector: LabelSelector | None = None


class VisibilityPolicy(MeshModel):
    """The visibility in namespaces that match."""

    visibility: Visibility = Visibility.VISIBILITY_UNSPECIFIED
    matching_rules: tuple[VisibilityMatch, ...] = ()


class ServiceEntryVisibility(MeshModel):
    """To whom ServiceEntries are exported at most."""

    default_visibility: Visibility = Visibility.VISIBILITY_UNSPECIFIED
    apply_to_sidecars: Bool = False
    policies: tuple[VisibilityPolicy, ...] = ()


class MeshConfig(MeshModel):
    """Mesh-wide behaviour; every default is Istio's. `max_inbound_connection_duration` and `request_audit` are ours."""

    proxy_listen_port: Int32 = 15001
    proxy_inbound_listen_port: Int32 = 15006
    proxy_http_port: Int32 = 0
    connect_timeout: AnyDuration = timedelta(seconds=10)
    hbone_idle_timeout: AnyDuration | None = None
    protocol_detection_timeout: AnyDuration = timedelta(0)
    dns_refresh_rate: AnyDuration = timedelta(seconds=60)
    tcp_keepalive: TcpKeepalive | None = None
    ingress_class: str = "istio"
    ingress_service: str = "istio-ingressgateway"
    ingress_selector: str = "ingressgateway"
    ingress_controller_mode: IngressControllerMode = IngressControllerMode.STRICT
    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    ca_certificates: tuple[CertificateData, ...] = ()
    certificates: tuple[DnsCertificate, ...] = ()
    ca: ExternalCa | None = None
    root_namespace: str = ROOT_NAMESPACE
    enable_auto_mtls: Bool = True
    verify_certificate_at_client: Bool | None = None
    mesh_mtls: Annotated[MeshTlsConfig, Field(alias="meshMTLS")] = MeshTlsConfig()
    tls_defaults: MeshTlsConfig = MeshTlsConfig()
    outbound_traffic_policy: MeshOutboundTrafficPolicy = MeshOutboundTrafficPolicy()
    inbound_traffic_policy: InboundTrafficPolicy = InboundTrafficPolicy()
    path_normalization: PathNormalization = PathNormalization()
    h2_upgrade_policy: DefaultH2Upgrade = DefaultH2Upgrade.DO_NOT_UPGRADE
    default_service_export_to: tuple[str, ...] = ("*",)
    default_virtual_service_export_to: tuple[str, ...] = ("*",)
    default_destination_rule_export_to: tuple[str, ...] = ("*",)
    default_http_retry_policy: HttpRetry | None = None
    default_inbound_http_retry_policy: HttpRetry | None = None
    default_traffic_policy: DefaultTrafficPolicy | None = None
    locality_lb_setting: LocalityLbSetting = LocalityLbSetting(enabled=True)
    zone_aware_lb_setting: ZoneAwareLbSetting | None = None
    service_settings: tuple[ServiceSettings, ...] = ()
    service_scope_configs: tuple[ServiceScopeConfig, ...] = ()
    service_entry_visibility: ServiceEntryVisibility | None = None
    discovery_selectors: tuple[LabelSelector, ...] = ()
    config_sources: tuple[ConfigSource, ...] = ()
    default_config: DefaultProxyConfig = DefaultProxyConfig()
    extension_providers: tuple[ExtensionProvider, ...] = ()
    default_providers: DefaultProviders = DefaultProviders()
    access_log_file: str = ""
    access_log_format: str = ""
    access_log_encoding: AccessLogEncoding = AccessLogEncoding.TEXT
    enable_envoy_access_log_service: Bool = False
    disable_envoy_listener_log: Bool = False
    enable_tracing: Bool = False
    enable_prometheus_merge: Bool = True
    inbound_cluster_stat_name: str = ""
    outbound_cluster_stat_name: str = ""
    compliance_policy: CompliancePolicy = CompliancePolicy.NONE
    """What every TLS connection keeps to: Istiod's variable COMPLIANCE_POLICY."""
    max_inbound_connection_duration: AnyDuration = timedelta(hours=1)
    """Inbound HTTP connections are closed at this age, because certificates are checked at the handshake only."""
    request_audit: RequestAudit = RequestAudit.SELECTED
    """Of which requests proxies give Citadel a record."""


def read_mesh_config(text: str) -> tuple[MeshConfig, tuple[str, ...]]:
    """Read the `mesh` key, with the paths of fields that this version does not know; INVALID with all violations."""
    return parse_mesh_document(text, MeshConfig, "the mesh config")


def parse_mesh_config(text: str) -> MeshConfig:
    """The same without the unknown fields, which are ignored."""
    return read_mesh_config(text)[0]
