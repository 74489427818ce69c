"""CUSTOM policies: an RBAC filter marks what a provider of the mesh config is to be asked about, and ext_authz asks.

The mark is the name of the matching rule, which ext_authz looks for with the provider's name in it. The name ends with
a sign of its own, so that provider `a` is never asked about the rules of `ab`. A provider that cannot be used denies
what the rules match (security.md §7), and so do two of them unless the mesh lets a workload have several: then each
has its own mark and its own filter, by the names of the providers, and whoever is let in by all of them passes. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from envoy.config.core.v3 import grpc_service_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.network.ext_authz.v3 import ext_authz_pb2 as network_ext_authz_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.type.matcher.v3 import metadata_pb2, string_pb2
from envoy.type.v3 import http_status_pb2
from meshcore.model.authorization_policy import Action
from meshcore.model.extension_provider import ExtAuthzBody, ExtAuthzGrpc, ExtAuthzHttp, ExtensionProvider
from meshcore.xds.names import parse_cluster_name
from meshcore.xds.provider_faults import authorizer_faults

from pilot.core.compiler.authorization.filters import (
    HTTP_RBAC,
    NETWORK_RBAC,
    TCP_STATS,
    Filter,
    rbac,
    rbac_filter,
    rules_of,
)
from pilot.core.compiler.authorization.matchers import Text, Value, metadata_matcher
from pilot.core.compiler.authorization.policies import Policy
from pilot.core.compiler.filter_order import CUSTOM_REFUSED, CUSTOM_SHADOW
from pilot.core.compiler.messages import any_of, duration

HTTP_EXT_AUTHZ = "envoy.filters.http.ext_authz"
NETWORK_EXT_AUTHZ = "envoy.filters.network.ext_authz"
MARK = f"{CUSTOM_SHADOW}shadow_effective_policy_id"
_NO_LIMIT = 600
"""Seconds: Envoy's own default of 200 ms would be a surprise."""
_STATUSES = frozenset(http_status_pb2.StatusCode.values()) - {http_status_pb2.Empty}


@dataclass(frozen=True)
class Provider:
    """A provider as it can be used; `problem` says why it cannot, and then `cluster` is empty."""

    name: str
    settings: ExtAuthzGrpc
    cluster: str = ""
    problem: str = ""

    @property
    def is_http(self) -> bool:
        """Whether it is asked over HTTP, which connections of bytes cannot be."""
        return isinstance(self.settings, ExtAuthzHttp)


@dataclass(frozen=True, eq=False)
class Custom:
    """The filters of the CUSTOM policies of one provider, or of all that are refused together, in order: those for
    other spellings of a request (see `spelling_filter`), which mark or refuse as those behind them do."""

    spellings: tuple[Filter, ...]
    filters: tuple[Filter, ...]


def custom_filters(
    policies: Sequence[Policy], providers: Sequence[Provider], domains: Sequence[str], *, is_tcp: bool, several: bool
) -> list[Custom]:
    """What CUSTOM policies make; `providers` are those that they name, and `several` says that each may be asked."""
    if len(providers) > 1 and not several:
        return [_refused(policies, domains, is_tcp=is_tcp)]
    return [
        _of_provider([policy for policy in policies if provider_name(policy) == one.name], one, domains, is_tcp=is_tcp)
        for one in providers
    ]


def _of_provider(policies: Sequence[Policy], provider: Provider, domains: Sequence[str], *, is_tcp: bool) -> Custom:
    if provider.problem:
        return _refused(policies, domains, is_tcp=is_tcp)
    if is_tcp and provider.is_http:
        return Custom((), ())
    marking, spellings = _rules(policies, domains, is_tcp=is_tcp)
    asking = _tcp_filter(provider) if is_tcp else _http_filter(provider)
    return Custom(
        tuple(_marking(rules, is_tcp=is_tcp) for rules in spellings), (_marking(marking, is_tcp=is_tcp), asking)
    )


def _refused(policies: Sequence[Policy], domains: Sequence[str], *, is_tcp: bool) -> Custom:
    refusing, spellings = _rules(policies, domains, is_tcp=is_tcp)
    return Custom(tuple(_refusing(rules, is_tcp=is_tcp) for rules in spellings), (_refusing(refusing, is_tcp=is_tcp),))


def _rules(
    policies: Sequence[Policy], domains: Sequence[str], *, is_tcp: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The rules, and those for other spellings where there are any."""
    wide = {} if is_tcp else _marked(policies, domains, is_tcp=False, wide=True)
    return _marked(policies, domains, is_tcp=is_tcp), [wide] if wide else []


def _marking(rules: dict[str, Any], *, is_tcp: bool) -> Filter:
    return rbac_filter(None, rbac(Action.CUSTOM, rules), CUSTOM_SHADOW, is_tcp=is_tcp)


def _refusing(rules: dict[str, Any], *, is_tcp: bool) -> Filter:
    bad = {f"{name}{CUSTOM_REFUSED}": policy for name, policy in rules.items()}
    return rbac_filter(rbac(Action.CUSTOM, bad), None, "", is_tcp=is_tcp)


def _marked(policies: Iterable[Policy], domains: Sequence[str], *, is_tcp: bool, wide: bool = False) -> dict[str, Any]:
    found = {}
    for policy in policies:
        for name, made in rules_of((policy,), Action.CUSTOM, domains, is_tcp=is_tcp, wide=wide).items():
            found[f"{_start(provider_name(policy))}{name}"] = made
    return found


def provider_name(policy: Policy) -> str:
    """Of a CUSTOM policy."""
    provider = policy.object.spec.provider
    return provider.name if provider is not None else ""


def _start(provider: str) -> str:
    return f"istio-ext-authz-{provider}-"


def settings_of(provider: ExtensionProvider) -> ExtAuthzGrpc | None:
    """What it says of authorization; None for a provider of something else."""
    return provider.envoy_ext_authz_http or provider.envoy_ext_authz_grpc


def fault_of(settings: ExtAuthzGrpc) -> str:
    """Why Envoy would not take it; empty when it does."""
    if not 1 <= settings.port <= 65535:
        return f"{settings.port} is no port"
    status = settings.status_on_error
    if status and (not status.isdecimal() or int(status) not in _STATUSES):
        return f"{status!r} is no HTTP status"
    body = settings.include_request_body_in_check
    if body is not None and not body.max_request_bytes:
        return "includeRequestBodyInCheck has no maxRequestBytes"
    if isinstance(settings, ExtAuthzHttp) and settings.path_prefix and not settings.path_prefix.startswith("/"):
        return f"the path prefix {settings.path_prefix!r} does not begin with /"
    if isinstance(settings, ExtAuthzHttp):
        return next((f"{path}: {fault}" for path, fault in authorizer_faults(settings)), "")
    return ""


def _http_filter(provider: Provider) -> Filter:
    settings = provider.settings
    config = ext_authz_pb2.ExtAuthz(
        transport_api_version="V3",
        failure_mode_allow=settings.fail_open,
        filter_enabled_metadata=_marked_for(provider, HTTP_RBAC),
        clear_route_cache=settings.clear_route_cache,
    )
    if settings.status_on_error:
        config.status_on_error.code = int(settings.status_on_error)
    _ask_with_body(config, settings.include_request_body_in_check)
    if isinstance(settings, ExtAuthzHttp):
        _ask_over_http(config, settings, provider.cluster)
    else:
        config.grpc_service.CopyFrom(_grpc(provider))
    return http_connection_manager_pb2.HttpFilter(name=HTTP_EXT_AUTHZ, typed_config=any_of(config))


def _tcp_filter(provider: Provider) -> Filter:
    settings = provider.settings
    config = network_ext_authz_pb2.ExtAuthz(
        stat_prefix=TCP_STATS,
        grpc_service=_grpc(provider),
        transport_api_version="V3",
        failure_mode_allow=settings.fail_open,
        filter_enabled_metadata=_marked_for(provider, NETWORK_RBAC),
    )
    return listener_components_pb2.Filter(name=NETWORK_EXT_AUTHZ, typed_config=any_of(config))


def _marked_for(provider: Provider, rbac_name: str) -> metadata_pb2.MetadataMatcher:
    start = Value(string_match=Text(prefix=f"{_start(provider.name)}ns["))
    return metadata_matcher(rbac_name, (MARK,), start)


def _grpc(provider: Provider) -> grpc_service_pb2.GrpcService:
    settings = provider.settings
    made = grpc_service_pb2.GrpcService()
    made.envoy_grpc.cluster_name = provider.cluster
    made.envoy_grpc.authority = parse_cluster_name(provider.cluster).host
    _set_timeout(made.timeout, settings)
    return made


def _set_timeout(field: Any, settings: ExtAuthzGrpc) -> None:
    if settings.timeout is None:
        field.seconds = _NO_LIMIT
    else:
        field.CopyFrom(duration(settings.timeout))


def _ask_over_http(config: ext_authz_pb2.ExtAuthz, settings: ExtAuthzHttp, cluster: str) -> None:
    service = config.http_service
    service.server_uri.uri = f"http://{parse_cluster_name(cluster).host}"
    service.server_uri.cluster = cluster
    _set_timeout(service.server_uri.timeout, settings)
    service.path_prefix = settings.path_prefix
    allowed = settings.include_request_headers_in_check or settings.include_headers_in_check
    if allowed:
        config.allowed_headers.patterns.extend(map(_pattern, allowed))
    for name, value in sorted(settings.include_additional_headers_in_check.items()):
        service.authorization_request.headers_to_add.add(key=name, value=value)
    answer = service.authorization_response
    for patterns, wanted in (
        ("allowed_upstream_headers", settings.headers_to_upstream_on_allow),
        ("allowed_client_headers", settings.headers_to_downstream_on_deny),
        ("allowed_client_headers_on_success", settings.headers_to_downstream_on_allow),
    ):
        if wanted:
            getattr(answer, patterns).patterns.extend(map(_pattern, wanted))


def _pattern(header: str) -> string_pb2.StringMatcher:
    if header.startswith("*"):
        return Text(suffix=header[1:], ignore_case=True)
    if header.endswith("*"):
        return Text(prefix=header[:-1], ignore_case=True)
    return Text(exact=header, ignore_case=True)


def _ask_with_body(config: ext_authz_pb2.ExtAuthz, body: ExtAuthzBody | None) -> None:
    if body is not None:
        asked = config.with_request_body
        asked.max_request_bytes = body.max_request_bytes
        asked.allow_partial_message = body.allow_partial_message
        asked.pack_as_bytes = body.pack_as_bytes
