"""TLS that a listener terminates."""

import re

from meshcore.model.sidecar import ServerTlsMode, ServerTlsSettings, TlsProtocol

from galley.core.rules.report import Report

_SPKI = re.compile(r"[A-Za-z0-9+/]{43}=")
_HASH = re.compile(r"(?:[0-9A-Fa-f]{64})|(?:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31})")
_VERSIONS = list(TlsProtocol)
_CIPHERS = frozenset(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "DES-CBC3-SHA",
    )
)
"""What Envoy's TLS library can be told to use."""


def check_server_tls(report: Report, path: str, tls: ServerTlsSettings) -> None:
    """Certificates that the mode needs, versions in order, digests and ciphers that exist (unknown ciphers warn)."""
    if tls.insecure_skip_verify and tls.mode is not ServerTlsMode.OPTIONAL_MUTUAL:
        report.error(f"{path}.insecureSkipVerify", f"not supported in mode {tls.mode.value}", "OPTIONAL_MUTUAL")
    _check_digests(report, path, tls)
    _check_ciphers(report, path, tls)
    low, high = tls.min_protocol_version, tls.max_protocol_version
    if TlsProtocol.TLS_AUTO not in (low, high) and _VERSIONS.index(low) > _VERSIONS.index(high):
        report.error(f"{path}.minProtocolVersion", f"{low.value} is above {high.value}", "a range of versions")
    if tls.mode not in (ServerTlsMode.SIMPLE, ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL):
        return
    if tls.credential_name or tls.credential_names or tls.tls_certificates:
        return
    needed = [("serverCertificate", tls.server_certificate), ("privateKey", tls.private_key)]
    if tls.mode is ServerTlsMode.MUTUAL:
        needed.append(("caCertificates", tls.ca_certificates))
    for name, value in needed:
        if not value:
            report.error(f"{path}.{name}", f"required in mode {tls.mode.value}", "the path of a file")


def _check_digests(report: Report, path: str, tls: ServerTlsSettings) -> None:
    for index, spki in enumerate(tls.verify_certificate_spki):
        if not _SPKI.fullmatch(spki):
            report.error(f"{path}.verifyCertificateSpki[{index}]", "not a digest", "base64 of a SHA-256 digest")
    for index, digest in enumerate(tls.verify_certificate_hash):
        if not _HASH.fullmatch(digest):
            report.error(f"{path}.verifyCertificateHash[{index}]", "not a digest", "hex of a SHA-256 digest")


def _check_ciphers(report: Report, path: str, tls: ServerTlsSettings) -> None:
    seen: set[str] = set()
    for index, cipher in enumerate(tls.cipher_suites):
        where = f"{path}.cipherSuites[{index}]"
        if cipher not in _CIPHERS:
            report.warn(where, f"{cipher!r} is not known and not used")
        elif cipher in seen:
            report.warn(where, f"{cipher!r} is there twice")
        seen.add(cipher)
