"""TLS that a proxy originates."""

from meshcore.model.destination_rule import ClientTlsSettings, TlsMode

from galley.core.rules.report import Report

_CONFIG_MAP = "configmap://"


def check_client_tls(report: Report, path: str, tls: ClientTlsSettings, namespace: str) -> None:
    """Which certificates go with which mode. A missing CA is a matter of analysis, not of validation."""
    _check_config_map(report, f"{path}.credentialName", tls.credential_name, namespace)
    _check_skip_verify(report, path, tls)
    if tls.mode in (TlsMode.SIMPLE, TlsMode.MUTUAL) and tls.credential_name:
        for name, value in (
            ("clientCertificate", tls.client_certificate),
            ("caCertificates", tls.ca_certificates),
            ("privateKey", tls.private_key),
            ("caCrl", tls.ca_crl),
        ):
            if value:
                report.error(f"{path}.{name}", "set together with credentialName", "one of them")
    elif tls.mode is TlsMode.MUTUAL:
        if not tls.client_certificate:
            report.error(f"{path}.clientCertificate", "required in mode MUTUAL", "the path of a certificate")
        if not tls.private_key:
            report.error(f"{path}.privateKey", "required in mode MUTUAL", "the path of a key")


def _check_skip_verify(report: Report, path: str, tls: ClientTlsSettings) -> None:
    if not tls.insecure_skip_verify:
        return
    contradicting = {"caCertificates": bool(tls.ca_certificates), "subjectAltNames": bool(tls.subject_alt_names)}
    if tls.mode is TlsMode.SIMPLE:
        contradicting["credentialName"] = bool(tls.credential_name)
    elif tls.mode is not TlsMode.MUTUAL:
        return
    for name, is_set in contradicting.items():
        if is_set:
            report.error(f"{path}.{name}", "set together with insecureSkipVerify", "one of them")


def _check_config_map(report: Report, path: str, name: str, namespace: str) -> None:
    if not name.startswith(_CONFIG_MAP):
        return
    parts = name.removeprefix(_CONFIG_MAP).split("/")
    if len(parts) != 2 or not all(parts):
        report.error(path, f"{name!r} is not the name of a ConfigMap", "configmap://NAMESPACE/NAME")
    elif not namespace or parts[0] != namespace:
        report.error(path, f"{name!r} is in another namespace", f"configmap://{namespace}/NAME")
