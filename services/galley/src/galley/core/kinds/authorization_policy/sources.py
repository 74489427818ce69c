"""Where a request comes from."""

import re

from meshcore.model.authorization_policy import Action, Source

from galley.core.kinds.authorization_policy.long_values import check_length
from galley.core.rules.names import check_subnet
from galley.core.rules.report import Report

_IDENTITY = ("principals", "request_principals", "namespaces", "service_accounts", "trust_domains")
_OF_HTTP = ("request_principals", "trust_domains")
"""What does not count as an attribute of a connection; of trust domains Istio says so."""
_ACCOUNT_PART = re.compile(r"[^/*]+")


def check_source(report: Report, path: str, source: Source | None, action: Action) -> None:
    """Says something, and says it of values that exist; CUSTOM may look at addresses only."""
    if source is None or not any(getattr(source, name) for name in Source.model_fields):
        report.error(path, "the source says nothing", "at least one list of values")
        return
    for name, field in Source.model_fields.items():
        values: tuple[str, ...] = getattr(source, name)
        where = f"{path}.{field.alias}"
        positive = name.removeprefix("not_")
        if action is Action.CUSTOM and values and positive in _IDENTITY:
            report.error(where, "not supported for action CUSTOM", "ipBlocks or remoteIpBlocks")
        check = _CHECKS.get(positive)
        for index, value in enumerate(values):
            if not value:
                report.error(f"{where}[{index}]", "the value is empty", "a value")
            elif check is not None:
                check(report, f"{where}[{index}]", value)
            check_length(report, f"{where}[{index}]", positive, value, action)


def is_tcp_source(source: Source) -> bool:
    """Whether it looks at what every connection has."""
    return any(getattr(source, name) for name in Source.model_fields if name.removeprefix("not_") not in _OF_HTTP)


def _check_account(report: Report, path: str, account: str) -> None:
    parts = account.split("/")
    if len(parts) > 2 or not all(_ACCOUNT_PART.fullmatch(part) for part in parts):
        report.error(path, f"{account!r} is not a service account", "NAME or NAMESPACE/NAME, no '*'")


def _check_trust_domain(report: Report, path: str, domain: str) -> None:
    if "/" in domain:
        report.error(path, f"{domain!r} has a '/'", "a trust domain")
    if domain.count("*") > 1 or ("*" in domain and not (domain.startswith("*") or domain.endswith("*"))):
        report.error(path, f"{domain!r} has wildcards that do not fit", "one '*', first or last")


_CHECKS = {
    "ip_blocks": check_subnet,
    "remote_ip_blocks": check_subnet,
    "service_accounts": _check_account,
    "trust_domains": _check_trust_domain,
}
