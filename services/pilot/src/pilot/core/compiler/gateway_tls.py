"""TLS that a gateway's server ends: certificates, what of clients is checked, versions and ciphers. Pure."""

from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from meshcore.model.gateway import Server
from meshcore.model.mesh_config import MeshConfig, MeshTlsConfig
from meshcore.model.sidecar import ServerTlsMode, ServerTlsSettings, TlsProtocol
from meshcore.model.tls_words import is_certificate_hash, is_spki
from meshcore.xds.names import ROOT_CERTIFICATE, WORKLOAD_CERTIFICATE
from meshcore.xds.secret_names import file_key_pair, file_root

from pilot.core.compiler.messages import boolean
from pilot.core.compiler.sds import ca_of, key_pair_of, sds_secret, server_credentials
from pilot.core.compiler.tls import (
    SERVER_ALPN,
    known_ciphers,
    known_curves,
    prefixes_of_callers,
    san_uris,
    sans_of_any_kind,
    tls_socket,
    trust_domains,
    validation,
)

_Parameters = common_pb2.TlsParameters
_Validation = common_pb2.CertificateValidationContext
_CHECKS_CLIENTS = (ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL)
_VERSIONS = {
    TlsProtocol.TLSV1_0: _Parameters.TLSv1_0,
    TlsProtocol.TLSV1_1: _Parameters.TLSv1_1,
    TlsProtocol.TLSV1_2: _Parameters.TLSv1_2,
    TlsProtocol.TLSV1_3: _Parameters.TLSv1_3,
}


def unusable(server: Server) -> str:
    """Why the server cannot be had with its TLS settings; empty when it can.

    A check of clients that Envoy cannot make must not be left out in silence: the server goes instead.
    """
    tls = server.tls
    if tls is None or tls.mode not in _CHECKS_CLIENTS:
        return "" if tls is None or tls.mode is not ServerTlsMode.SIMPLE else _without_certificate(tls)
    if not all(map(is_spki, tls.verify_certificate_spki)):
        return "verifyCertificateSpki is not base64 of a SHA-256 digest"
    if not all(map(is_certificate_hash, tls.verify_certificate_hash)):
        return "verifyCertificateHash is not hex of a SHA-256 digest"
    if not (server_credentials(tls) or tls.ca_cert_credential_name or tls.ca_certificates or _ca_file(tls)):
        return f"mode {tls.mode.value} needs a root to check clients by"
    return _without_certificate(tls)


def _without_certificate(tls: ServerTlsSettings) -> str:
    files = tls.tls_certificates or (tls.server_certificate and tls.private_key)
    return "" if files or server_credentials(tls) else "it names no certificate"


def ends_here(tls: ServerTlsSettings) -> bool:
    """Whether TLS with these settings is ended, not passed through."""
    return tls.mode in (ServerTlsMode.SIMPLE, *_CHECKS_CLIENTS, ServerTlsMode.ISTIO_MUTUAL)


def gateway_socket(server: Server, mesh: MeshConfig) -> base_pb2.TransportSocket:
    """The transport socket of a server's chain; `unusable` has let it pass."""
    return server_socket(server.tls or ServerTlsSettings(), mesh)


def server_socket(tls: ServerTlsSettings, mesh: MeshConfig) -> base_pb2.TransportSocket:
    """The transport socket of whoever ends TLS with these settings."""
    if tls.mode is ServerTlsMode.ISTIO_MUTUAL:
        return _mesh_socket(tls, mesh)
    common = tls_pb2.CommonTlsContext(
        tls_params=_parameters(tls, mesh.tls_defaults),
        tls_certificate_sds_secret_configs=_certificates(tls),
        alpn_protocols=SERVER_ALPN,
    )
    if tls.mode in _CHECKS_CLIENTS:
        common.combined_validation_context.CopyFrom(_clients(tls))
    return tls_socket(
        tls_pb2.DownstreamTlsContext(
            common_tls_context=common, require_client_certificate=boolean(tls.mode is ServerTlsMode.MUTUAL)
        )
    )


def _mesh_socket(tls: ServerTlsSettings, mesh: MeshConfig) -> base_pb2.TransportSocket:
    """Clients of the mesh: with one of the names, or, when there are none, of one of its trust domains."""
    names = sans_of_any_kind(tls.subject_alt_names)
    if not names and prefixes_of_callers(mesh):
        names = san_uris(prefix=[f"spiffe://{domain}/" for domain in trust_domains(mesh)])
    common = tls_pb2.CommonTlsContext(
        tls_params=_parameters(tls, mesh.mesh_mtls),
        tls_certificate_sds_secret_configs=[sds_secret(WORKLOAD_CERTIFICATE)],
        combined_validation_context=validation(sds_secret(ROOT_CERTIFICATE), names),
        alpn_protocols=SERVER_ALPN,
    )
    return tls_socket(tls_pb2.DownstreamTlsContext(common_tls_context=common, require_client_certificate=boolean(True)))


def _ca_file(tls: ServerTlsSettings) -> str:
    return tls.ca_certificates or next((item.ca_certificates for item in tls.tls_certificates), "")


def _certificates(tls: ServerTlsSettings) -> list[secret_pb2.SdsSecretConfig]:
    """From Secrets, or from files that the agent serves."""
    if server_credentials(tls):
        return [key_pair_of(name) for name in server_credentials(tls)]
    pairs = [(item.server_certificate, item.private_key) for item in tls.tls_certificates]
    return [
        sds_secret(file_key_pair(chain, key)) for chain, key in pairs or [(tls.server_certificate, tls.private_key)]
    ]


def _clients(tls: ServerTlsSettings) -> Any:
    if tls.ca_cert_credential_name:
        root = ca_of(tls.ca_cert_credential_name)
    elif server_credentials(tls):
        root = ca_of(server_credentials(tls)[0])
    else:
        root = sds_secret(file_root(_ca_file(tls), tls.ca_crl))
    made = validation(root, sans_of_any_kind(tls.subject_alt_names))
    checks = made.default_validation_context
    checks.verify_certificate_spki.extend(tls.verify_certificate_spki)
    checks.verify_certificate_hash.extend(tls.verify_certificate_hash)
    if tls.insecure_skip_verify and tls.mode is ServerTlsMode.OPTIONAL_MUTUAL:
        checks.trust_chain_verification = _Validation.ACCEPT_UNTRUSTED
    return made


def _parameters(tls: ServerTlsSettings, defaults: MeshTlsConfig) -> common_pb2.TlsParameters:
    """The server's own, else MeshConfig's, else TLS 1.2 and above; unknown words are left out, as Galley has warned."""
    lowest = tls.min_protocol_version
    if lowest is TlsProtocol.TLS_AUTO:
        lowest = defaults.min_protocol_version
    ciphers = tls.cipher_suites or defaults.cipher_suites
    made = _Parameters(
        tls_minimum_protocol_version=_VERSIONS.get(lowest, _Parameters.TLSv1_2),
        cipher_suites=known_ciphers(ciphers),
        ecdh_curves=known_curves(defaults.ecdh_curves),
    )
    if tls.max_protocol_version in _VERSIONS:
        made.tls_maximum_protocol_version = _VERSIONS[tls.max_protocol_version]
    return made
