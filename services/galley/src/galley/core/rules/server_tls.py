"""TLS that a listener terminates."""

from meshcore.model.sidecar import ServerTlsMode, ServerTlsSettings, TlsCertificate, TlsProtocol
from meshcore.model.tls_words import CIPHER_SUITES, is_certificate_hash, is_spki

from galley.core.rules.report import Report

_VERSIONS = list(TlsProtocol)
_OLD_VERSIONS = (TlsProtocol.TLSV1_0, TlsProtocol.TLSV1_1)
_MUTUAL = (ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL)
_TERMINATING = (ServerTlsMode.SIMPLE, *_MUTUAL)


def check_server_tls(report: Report, path: str, tls: ServerTlsSettings) -> None:
    """One source of certificates, whole, where the mode needs one; doubtful versions, digests and ciphers only warn.

    As in Istio, what makes a mode impossible ends the check, and certificates from a secret are not looked at here.
    """
    _check_digests(report, path, tls)
    _check_ciphers(report, path, tls)
    _check_versions(report, path, tls)
    if tls.mode is ServerTlsMode.ISTIO_MUTUAL:
        for name in _sources(tls):
            report.error(f"{path}.{name}", "mode ISTIO_MUTUAL has the mesh's own certificates", "no certificates")
        return
    if tls.mode not in _TERMINATING:
        unused = _sources(tls) + (["caCrl"] if tls.ca_crl else [])
        for name in unused:
            report.warn(f"{path}.{name}", f"mode {tls.mode.value} uses no certificates")
    whole = bool(tls.server_certificate and tls.private_key)
    if sum(map(bool, (whole, tls.credential_name, tls.credential_names, tls.tls_certificates))) > 1:
        report.error(path, "certificates come from several places", "files, tlsCertificates or a credential")
    if tls.mode in _TERMINATING:
        _check_certificates(report, path, tls)
    elif tls.ca_crl and tls.credential_name:
        report.error(f"{path}.caCrl", "not supported with a credential", "no caCrl")


def _sources(tls: ServerTlsSettings) -> list[str]:
    """The JSON names of all fields that are set and say where certificates come from."""
    fields = (
        ("serverCertificate", tls.server_certificate),
        ("privateKey", tls.private_key),
        ("caCertificates", tls.ca_certificates),
        ("tlsCertificates", tls.tls_certificates),
        ("credentialName", tls.credential_name),
        ("credentialNames", tls.credential_names),
    )
    return [name for name, value in fields if value]


def _check_versions(report: Report, path: str, tls: ServerTlsSettings) -> None:
    low, high = tls.min_protocol_version, tls.max_protocol_version
    if TlsProtocol.TLS_AUTO not in (low, high) and _VERSIONS.index(low) > _VERSIONS.index(high):
        report.warn(f"{path}.minProtocolVersion", f"{low.value} is above {high.value}: nobody can connect")
    if low in _OLD_VERSIONS and not tls.cipher_suites:
        report.warn(f"{path}.minProtocolVersion", f"{low.value} needs cipherSuites that it can be spoken with")


def _check_certificates(report: Report, path: str, tls: ServerTlsSettings) -> None:
    if tls.credential_name or tls.credential_names:
        return
    if tls.ca_crl and tls.mode is ServerTlsMode.SIMPLE:
        report.error(f"{path}.caCrl", "not supported in mode SIMPLE", "no caCrl")
    if tls.mode in _MUTUAL and not tls.ca_certificates:
        report.error(f"{path}.caCertificates", f"required in mode {tls.mode.value}", "the path of a file")
    if not tls.tls_certificates:
        _check_pair(report, path, tls, tls.mode)
    for index, pair in enumerate(tls.tls_certificates):
        _check_pair(report, f"{path}.tlsCertificates[{index}]", pair, tls.mode)
    if len(tls.tls_certificates) > _USED_CERTIFICATES:
        report.warn(f"{path}.tlsCertificates", f"only the first {_USED_CERTIFICATES} are used: one RSA, one ECDSA")


_USED_CERTIFICATES = 2


def _check_pair(report: Report, path: str, pair: TlsCertificate | ServerTlsSettings, mode: ServerTlsMode) -> None:
    for name, value in (("serverCertificate", pair.server_certificate), ("privateKey", pair.private_key)):
        if not value:
            report.error(f"{path}.{name}", f"required in mode {mode.value}", "the path of a file")


def _check_digests(report: Report, path: str, tls: ServerTlsSettings) -> None:
    for index, spki in enumerate(tls.verify_certificate_spki):
        if not is_spki(spki):
            report.warn(
                f"{path}.verifyCertificateSpki[{index}]", "Envoy refuses what is not base64 of a SHA-256 digest"
            )
    for index, digest in enumerate(tls.verify_certificate_hash):
        if not is_certificate_hash(digest):
            report.warn(f"{path}.verifyCertificateHash[{index}]", "Envoy refuses what is not hex of a SHA-256 digest")


def _check_ciphers(report: Report, path: str, tls: ServerTlsSettings) -> None:
    seen: set[str] = set()
    for index, cipher in enumerate(tls.cipher_suites):
        where = f"{path}.cipherSuites[{index}]"
        if not _is_cipher(cipher):
            report.warn(where, f"{cipher!r} is not known and not used")
        elif cipher in seen:
            report.warn(where, f"{cipher!r} is there twice")
        seen.add(cipher)


def _is_cipher(text: str) -> bool:
    """A cipher's name, everything (`ALL`, nothing at all), or an operation on the list such as `-NAME`."""
    return text in ("", "ALL") or not text[0].isalnum() or text in CIPHER_SUITES
