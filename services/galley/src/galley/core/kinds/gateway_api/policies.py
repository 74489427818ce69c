"""TLS to backends, retries and sessions of backends, and backends that are no Services."""

from datetime import timedelta

from meshcore.durations import parse_duration
from meshcore.model.gateway_api.policies import BackendTlsPolicy, BackendTlsValidation, BackendTrafficPolicy, XBackend

from galley.core.kinds.gateway_api.routes import check_session
from galley.core.rules.names import is_label
from galley.core.rules.report import Report

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_OF_CLUSTERS = ".cluster.local"


def check_backend_tls(policy: BackendTlsPolicy, report: Report) -> None:
    """Targets that differ, and one source of CA certificates."""
    seen: set[tuple[str, str, str, str | None]] = set()
    for index, target in enumerate(policy.spec.target_refs):
        key = (target.group, target.kind, target.name, target.section_name)
        if key in seen:
            report.error(f"spec.targetRefs[{index}]", "the same target is there twice", "another sectionName")
        seen.add(key)
    _check_validation(report, "spec.validation", policy.spec.validation)


def _check_validation(report: Report, path: str, validation: BackendTlsValidation) -> None:
    if bool(validation.ca_certificate_refs) is (validation.well_known_ca_certificates is not None):
        report.error(path, "caCertificateRefs and wellKnownCACertificates", "exactly one of them")
    for index, name in enumerate(validation.subject_alt_names):
        where = f"{path}.subjectAltNames[{index}]"
        for field, value, wanted in (("hostname", name.hostname, "Hostname"), ("uri", name.uri, "URI")):
            if (value is not None) is not (name.type == wanted):
                report.error(f"{where}.{field}", f"does not go with type {name.type}", f"with type {wanted}")


def check_traffic_policy(policy: BackendTrafficPolicy, report: Report) -> None:
    """Intervals of up to an hour, and sessions."""
    constraint = policy.spec.retry_constraint
    if constraint is not None and constraint.budget is not None:
        interval = parse_duration(constraint.budget.interval)
        if not _SECOND <= interval <= _HOUR:
            report.error("spec.retryConstraint.budget.interval", "out of range", "1s to 1h")
    rate = constraint.min_retry_rate if constraint is not None else None
    if rate is not None and rate.interval is not None and not timedelta() < parse_duration(rate.interval) <= _HOUR:
        report.error("spec.retryConstraint.minRetryRate.interval", "out of range", "above 0s, up to 1h")
    check_session(report, "spec.sessionPersistence", policy.spec.session_persistence)


def check_backend(backend: XBackend, report: Report) -> None:
    """A host outside the cluster, and TLS to it."""
    spec = backend.spec
    if spec.external_hostname is None:
        report.error("spec.externalHostname", "required for type ExternalHostname", "a host name")
    elif spec.external_hostname.hostname.endswith(_OF_CLUSTERS):
        report.error("spec.externalHostname.hostname", "a host of the cluster", "a host outside the cluster")
    if spec.port.name and not is_label(spec.port.name):
        report.error("spec.port.name", f"{spec.port.name!r} is not a DNS label")
    if spec.tls is None:
        return
    if (spec.tls.client_certificate_ref is not None) is not (spec.tls.mode == "ClientAndServer"):
        report.error("spec.tls.clientCertificateRef", f"does not go with mode {spec.tls.mode}", "mode ClientAndServer")
    if spec.tls.validation is not None:
        _check_validation(report, "spec.tls.validation", spec.tls.validation)
