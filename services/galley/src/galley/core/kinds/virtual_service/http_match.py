"""The conditions of one HTTP match."""

from meshcore.model.virtual_service import HttpMatchRequest

from galley.core.rules.headers import check_match_name, is_claim
from galley.core.rules.label_maps import check_labels
from galley.core.rules.names import check_gateway_names, check_label
from galley.core.rules.patterns import check_string_match
from galley.core.rules.ports import check_port
from galley.core.rules.report import Report

_LONGEST_PARAMETER = 1024
"""config.route.v3.QueryParameterMatcher: another name makes Envoy refuse the whole route configuration."""


def check_http_match(report: Report, path: str, match: HttpMatchRequest, *, in_mesh: bool) -> None:
    """Patterns compile, names are names; claims of a JWT can be matched at gateways only."""
    for field, headers in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        for name, value in headers.items():
            where = f"{path}.{field}[{name}]"
            check_match_name(report, where, name)
            if is_claim(name) and in_mesh:
                report.error(where, "claims of a JWT can be matched at gateways only", "a gateway, and not mesh")
            check_string_match(report, where, value, any_value=field == "withoutHeaders")
    for name, value in match.query_params.items():
        if not 0 < len(name.encode(errors="replace")) <= _LONGEST_PARAMETER:
            report.error(f"{path}.queryParams", "the name of a parameter is empty or too long", "1 to 1024 bytes")
        check_string_match(report, f"{path}.queryParams[{name}]", value)
    check_string_match(report, f"{path}.uri", match.uri, empty_prefix=True)
    for field, part in (("scheme", match.scheme), ("method", match.method), ("authority", match.authority)):
        check_string_match(report, f"{path}.{field}", part)
    if match.port:
        check_port(report, f"{path}.port", match.port)
    check_labels(report, f"{path}.sourceLabels", match.source_labels)
    check_gateway_names(report, f"{path}.gateways", match.gateways)
    if match.source_namespace:
        check_label(report, f"{path}.sourceNamespace", match.source_namespace)
