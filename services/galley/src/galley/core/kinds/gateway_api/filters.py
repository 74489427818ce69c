"""Filters of routes: each says what its type says, and what may be there once is."""

from collections.abc import Sequence

from meshcore.model.gateway_api.filters import ExternalAuth, GrpcFilter, HttpFilter, PathModifier, PathModifierType
from pydantic.alias_generators import to_camel

from galley.core.kinds.gateway_api.references import check_backend_object
from galley.core.rules.report import Report

_FIELD_OF = {
    "RequestHeaderModifier": "request_header_modifier",
    "ResponseHeaderModifier": "response_header_modifier",
    "RequestMirror": "request_mirror",
    "RequestRedirect": "request_redirect",
    "URLRewrite": "url_rewrite",
    "ExtensionRef": "extension_ref",
    "CORS": "cors",
    "ExternalAuth": "external_auth",
}
_ONCE = ("RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "CORS")


def check_filters(report: Report, path: str, filters: Sequence[HttpFilter | GrpcFilter]) -> None:
    """All filters of a rule or of a backend."""
    types = [item.type for item in filters]
    for name in _ONCE:
        if types.count(name) > 1:  # type: ignore[arg-type]
            report.error(path, f"{name} is there twice", "each filter once")
    if "RequestRedirect" in types and "URLRewrite" in types:
        report.error(path, "RequestRedirect and URLRewrite are both there", "one of them")
    for index, item in enumerate(filters):
        _check_filter(report, f"{path}[{index}]", item)


def _check_filter(report: Report, path: str, item: HttpFilter | GrpcFilter) -> None:
    for name, field in _FIELD_OF.items():
        value = getattr(item, field, None)
        if name == item.type and value is None:
            report.error(f"{path}.{to_camel(field)}", f"required for type {name}", "what the filter does")
        if name != item.type and value is not None:
            report.error(f"{path}.{to_camel(field)}", f"set for type {item.type}", f"type {name}")
    if item.request_mirror is not None:
        check_backend_object(report, f"{path}.requestMirror.backendRef", item.request_mirror.backend_ref)
        fraction = item.request_mirror.fraction
        if fraction is not None and fraction.numerator > fraction.denominator:
            report.error(f"{path}.requestMirror.fraction", "more than everything", "numerator up to denominator")
    if isinstance(item, HttpFilter):
        _check_http(report, path, item)


def _check_http(report: Report, path: str, item: HttpFilter) -> None:
    if item.request_redirect is not None:
        _check_path(report, f"{path}.requestRedirect.path", item.request_redirect.path)
    if item.url_rewrite is not None:
        _check_path(report, f"{path}.urlRewrite.path", item.url_rewrite.path)
    if item.external_auth is not None:
        _check_auth(report, f"{path}.externalAuth", item.external_auth)
    if item.cors is not None:
        for name in ("allow_origins", "allow_methods", "allow_headers"):
            values = getattr(item.cors, name)
            if "*" in values and len(values) > 1:
                report.error(f"{path}.cors.{to_camel(name)}", "'*' is there with others", "'*' alone, or none")


def _check_path(report: Report, path: str, modifier: PathModifier | None) -> None:
    if modifier is None:
        return
    for name, value, wanted in (
        ("replaceFullPath", modifier.replace_full_path, PathModifierType.FULL),
        ("replacePrefixMatch", modifier.replace_prefix_match, PathModifierType.PREFIX),
    ):
        if (value is not None) is not (modifier.type is wanted):
            report.error(f"{path}.{name}", f"does not go with type {modifier.type.value}", f"with type {wanted.value}")


def _check_auth(report: Report, path: str, auth: ExternalAuth) -> None:
    check_backend_object(report, f"{path}.backendRef", auth.backend_ref)
    for name, value, wanted in (("grpc", auth.grpc, "GRPC"), ("http", auth.http, "HTTP")):
        if (value is not None) is not (auth.protocol == wanted):
            report.error(f"{path}.{name}", f"does not go with protocol {auth.protocol}", f"with protocol {wanted}")
