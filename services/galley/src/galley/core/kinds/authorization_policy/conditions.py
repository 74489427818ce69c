"""Conditions on attributes of a request."""

import re

from meshcore.model.authorization_policy import Action, Condition

from galley.core.kinds.authorization_policy.long_values import check_length
from galley.core.rules.names import check_subnet
from galley.core.rules.report import Report

_PLAIN = frozenset(
    (
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.serviceAccount",
        "source.principal",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "destination.ip",
        "destination.port",
        "connection.sni",
    )
)
_NAMED = re.compile(r"request\.headers\[[^\[\]]+\]|experimental\.envoy\.filters\.[^\[\]]+\[.+\]")
_CLAIMS = re.compile(r"request\.auth\.claims(?:\[[^\[\]]+\])+")
_NOT_FOR_CUSTOM = frozenset(("source.namespace", "source.serviceAccount", "source.trustDomain", "source.principal"))
_GONE = frozenset(("destination.namespace", "destination.name", "destination.user"))


def check_condition(report: Report, path: str, condition: Condition, action: Action) -> None:
    """A known attribute and at least one value of the right form."""
    key = condition.key
    if not key:
        report.error(f"{path}.key", "the key is empty", "an attribute of the request")
        return
    if not condition.values and not condition.not_values:
        report.error(path, "neither values nor notValues", "at least one value")
    if key in _GONE or key.startswith("destination.labels["):
        report.error(f"{path}.key", f"{key!r} is not supported: use a selector or the policy's namespace")
    elif key not in _PLAIN and not _NAMED.fullmatch(key) and not _CLAIMS.fullmatch(key):
        report.error(f"{path}.key", f"{key!r} is not an attribute", "an attribute such as request.headers[x-name]")
    elif action is Action.CUSTOM and (key in _NOT_FOR_CUSTOM or key.startswith("request.auth.")):
        report.error(f"{path}.key", f"{key!r} is not supported for action CUSTOM", "an attribute without identity")
    for name, values in (("values", condition.values), ("notValues", condition.not_values)):
        for index, value in enumerate(values):
            _check_value(report, f"{path}.{name}[{index}]", key, value)
            check_length(report, f"{path}.{name}[{index}]", key, value, action)


def _check_value(report: Report, path: str, key: str, value: str) -> None:
    if not value:
        report.error(path, "the value is empty", "a value")
    elif key in ("source.ip", "remote.ip", "destination.ip"):
        check_subnet(report, path, value)
    elif key == "destination.port" and not (value.isascii() and value.isdecimal() and int(value) <= 65535):
        report.error(path, f"{value!r} is not a port number", "0 to 65535")
    elif key == "source.serviceAccount" and ("*" in value or value.count("/") > 1):
        report.error(path, f"{value!r} is not a service account", "NAME or NAMESPACE/NAME, no '*'")
