"""Sidecar: what a workload's proxy knows and accepts (networking.istio.io)."""

from enum import StrEnum
from typing import Annotated

from meshcore.model.base import Bool, MeshModel, StatusObject, UInt32, WorkloadSelector
from meshcore.model.cel import Cel, has, max_items, min_items
from meshcore.model.destination_rule import ConnectionPoolSettings
from meshcore.model.virtual_service import Destination


class CaptureMode(StrEnum):
    """How traffic reaches the listener."""

    DEFAULT = "DEFAULT"
    IPTABLES = "IPTABLES"
    NONE = "NONE"


class SidecarPort(MeshModel):
    """A port of a listener."""

    number: UInt32 = 0
    name: str = ""
    protocol: str = ""
    target_port: UInt32 = 0


class ServerTlsMode(StrEnum):
    """How a server terminates TLS."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"


class TlsProtocol(StrEnum):
    """TLS versions."""

    TLS_AUTO = "TLS_AUTO"
    TLSV1_0 = "TLSV1_0"
    TLSV1_1 = "TLSV1_1"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


class TlsCertificate(MeshModel):
    """Files of one certificate."""

    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""


class ServerTlsSettings(MeshModel):
    """TLS that a listener terminates."""

    https_redirect: Bool = False
    mode: ServerTlsMode = ServerTlsMode.PASSTHROUGH
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    ca_cert_credential_name: str = ""
    credential_name: str = ""
    credential_names: Annotated[tuple[str, ...], min_items(1), max_items(2)] = ()
    tls_certificates: Annotated[tuple[TlsCertificate, ...], min_items(1), max_items(2)] = ()
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    min_protocol_version: TlsProtocol = TlsProtocol.TLS_AUTO
    max_protocol_version: TlsProtocol = TlsProtocol.TLS_AUTO
    cipher_suites: tuple[str, ...] = ()
    insecure_skip_verify: Bool | None = None
    cel = (
        Cel(
            "(has(self.tlsCertificates) ? 1 : 0) + (has(self.credentialNames) ? 1 : 0) <= 1",
            "only one of credentialNames or tlsCertificates can be set",
            lambda tls: not (has(tls, "tls_certificates") and has(tls, "credential_names")),
        ),
        Cel(
            "(has(self.credentialName) ? 1 : 0) + (has(self.credentialNames) ? 1 : 0) <= 1",
            "only one of credentialName or credentialNames can be set",
            lambda tls: not (has(tls, "credential_name") and has(tls, "credential_names")),
        ),
        Cel(
            "(has(self.credentialNames) ? 1 : 0) + (has(self.tlsCertificates) ? 1 : 0) <= 1",
            "only one of credentialName or tlsCertificates can be set",
            lambda tls: not (has(tls, "credential_names") and has(tls, "tls_certificates")),
        ),
    )


class IngressListener(MeshModel):
    """A port on which the workload accepts."""

    port: SidecarPort
    bind: str = ""
    capture_mode: CaptureMode = CaptureMode.DEFAULT
    default_endpoint: str = ""
    tls: ServerTlsSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None


class EgressListener(MeshModel):
    """Services that the workload may call; hosts are `namespace/host`."""

    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode = CaptureMode.DEFAULT
    hosts: tuple[str, ...]


class OutboundMode(StrEnum):
    """What becomes of traffic to hosts that nobody knows."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"


class OutboundTrafficPolicy(MeshModel):
    """Default of outbound traffic."""

    mode: OutboundMode = OutboundMode.REGISTRY_ONLY
    egress_proxy: Destination | None = None


class SidecarSpec(MeshModel):
    """Selector, what is accepted, what may be called."""

    workload_selector: WorkloadSelector | None = None
    ingress: tuple[IngressListener, ...] = ()
    egress: tuple[EgressListener, ...] = ()
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
    inbound_connection_pool: ConnectionPoolSettings | None = None


class Sidecar(StatusObject):
    """What a workload's proxy knows and accepts."""

    spec: SidecarSpec = SidecarSpec()
