"""Parts of a route that are policies of their own: faults, CORS, redirect, direct response, hashing. Pure."""

import base64
from typing import Any

from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.common.fault.v3 import fault_pb2 as common_fault_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.type.matcher.v3 import string_pb2
from envoy.type.v3 import percent_pb2
from meshcore.grpc_status import GRPC_STATUS
from meshcore.model.destination_rule import ConsistentHash
from meshcore.model.virtual_service import (
    CorsPolicy,
    HttpDirectResponse,
    HttpFaultInjection,
    HttpRedirect,
    Percent,
    RedirectPort,
    UnmatchedPreflights,
)

from pilot.core.compiler.messages import boolean, duration
from pilot.core.compiler.route_match import string_matcher

_Redirect = route_components_pb2.RedirectAction
_CODES = {
    0: _Redirect.MOVED_PERMANENTLY,
    301: _Redirect.MOVED_PERMANENTLY,
    302: _Redirect.FOUND,
    303: _Redirect.SEE_OTHER,
    307: _Redirect.TEMPORARY_REDIRECT,
    308: _Redirect.PERMANENT_REDIRECT,
}


def fraction(percent: Percent | None, default: float = 100.0) -> percent_pb2.FractionalPercent:
    """In millionths, as fine as the API's two decimals and more."""
    value = default if percent is None else percent.value
    return percent_pb2.FractionalPercent(
        numerator=round(value * 10_000), denominator=percent_pb2.FractionalPercent.MILLION
    )


def fault_filter(fault: HttpFaultInjection) -> fault_pb2.HTTPFault:
    """Delay and abort, each for its share of the requests."""
    made = fault_pb2.HTTPFault()
    delay, abort = fault.delay, fault.abort
    if delay is not None and delay.fixed_delay:
        share = delay.percentage or (Percent(value=float(delay.percent)) if delay.percent else None)
        made.delay.CopyFrom(
            common_fault_pb2.FaultDelay(fixed_delay=duration(delay.fixed_delay), percentage=fraction(share))
        )
    if abort is not None:
        made.abort.percentage.CopyFrom(fraction(abort.percentage))
        if abort.http_status is not None:
            made.abort.http_status = abort.http_status
        elif abort.grpc_status is not None:
            made.abort.grpc_status = _grpc_status(abort.grpc_status)
        else:
            made.ClearField("abort")
    return made


def _grpc_status(text: str) -> int:
    if text.isdigit():
        return int(text)
    return GRPC_STATUS.index(text if text in GRPC_STATUS else "UNKNOWN")


def cors_filter(policy: CorsPolicy) -> cors_pb2.CorsPolicy:
    """Cross-origin rules of one route."""
    made = cors_pb2.CorsPolicy()
    made.filter_enabled.default_value.CopyFrom(percent_pb2.FractionalPercent(numerator=100))
    origins = [string_matcher(item) for item in policy.allow_origins]
    origins += [string_pb2.StringMatcher(exact=item) for item in policy.allow_origin]
    made.allow_origin_string_match.extend(origins)
    made.allow_methods = ",".join(policy.allow_methods)
    made.allow_headers = ",".join(policy.allow_headers)
    made.expose_headers = ",".join(policy.expose_headers)
    if policy.max_age is not None:
        made.max_age = str(int(policy.max_age.total_seconds()))
    if policy.allow_credentials is not None:
        made.allow_credentials.CopyFrom(boolean(policy.allow_credentials))
    forward = policy.unmatched_preflights is not UnmatchedPreflights.IGNORE
    made.forward_not_matching_preflights.CopyFrom(boolean(forward))
    return made


def apply_redirect(route: Any, redirect: HttpRedirect, listen_port: int) -> None:
    """Answer with another URL; the default code is 301."""
    action = _Redirect(
        host_redirect=redirect.authority,
        response_code=_CODES.get(redirect.redirect_code, _Redirect.MOVED_PERMANENTLY),
    )
    if redirect.prefix_rewrite:
        action.prefix_rewrite = redirect.prefix_rewrite
    elif redirect.uri:
        action.path_redirect = redirect.uri
    if redirect.scheme:
        action.scheme_redirect = redirect.scheme
    if redirect.port is not None:
        action.port_redirect = redirect.port
    elif redirect.derive_port is RedirectPort.FROM_REQUEST_PORT:
        ordinary = {"http": 80, "https": 443}.get(redirect.scheme)
        if listen_port != ordinary:
            action.port_redirect = listen_port
    route.redirect.CopyFrom(action)


def apply_direct_response(route: Any, response: HttpDirectResponse) -> None:
    """Answer from the proxy."""
    route.direct_response.status = response.status
    if response.body is not None and response.body.string is not None:
        route.direct_response.body.inline_string = response.body.string
    elif response.body is not None and response.body.bytes is not None:
        route.direct_response.body.inline_bytes = base64.b64decode(response.body.bytes)


def hash_policy(settings: ConsistentHash) -> route_components_pb2.RouteAction.HashPolicy | None:
    """What a request's key is for consistent hashing; None where nothing is named, which Envoy refuses."""
    policy = route_components_pb2.RouteAction.HashPolicy()
    if settings.http_header_name:
        policy.header.header_name = settings.http_header_name
    elif settings.http_cookie is not None and settings.http_cookie.name:
        policy.cookie.name = settings.http_cookie.name
        policy.cookie.path = settings.http_cookie.path
        if settings.http_cookie.ttl is not None:
            policy.cookie.ttl.CopyFrom(duration(settings.http_cookie.ttl))
        for attribute in settings.http_cookie.attributes:
            policy.cookie.attributes.add(name=attribute.name, value=attribute.value)
    elif settings.use_source_ip:
        policy.connection_properties.source_ip = True
    elif settings.http_query_parameter_name:
        policy.query_parameter.name = settings.http_query_parameter_name
    else:
        return None
    return policy
