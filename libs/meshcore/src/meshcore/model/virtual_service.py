"""VirtualService: where requests go (networking.istio.io)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from meshcore.model.base import (
    Bool,
    Double,
    Duration,
    Int32,
    Labels,
    MeshModel,
    PortSelector,
    StatusObject,
    UInt32,
)
from meshcore.model.cel import BASE64


class StringMatch(MeshModel):
    """How a string must look; none set means any present value."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None
    one_of = (("exact", "prefix", "regex"),)


class Percent(MeshModel):
    """0.0 to 100.0."""

    value: Double = 0.0


class Destination(MeshModel):
    """A service, or a subset of it."""

    host: str
    subset: str = ""
    port: PortSelector | None = None


class HeaderOperations(MeshModel):
    """What is done to headers, in the order set, add, remove."""

    set: Mapping[str, str] = {}
    add: Mapping[str, str] = {}
    remove: tuple[str, ...] = ()


class Headers(MeshModel):
    """Header operations of both directions."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class HttpMatchRequest(MeshModel):
    """All conditions of one match must hold."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: Mapping[str, StringMatch] = {}
    without_headers: Mapping[str, StringMatch] = {}
    query_params: Mapping[str, StringMatch] = {}
    ignore_uri_case: Bool = False
    port: UInt32 = 0
    source_labels: Labels = {}
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()
    stat_prefix: str = ""


class HttpRouteDestination(MeshModel):
    """One weighted destination."""

    destination: Destination
    weight: Int32 = 0
    headers: Headers | None = None


class RedirectPort(StrEnum):
    """Where the port of a redirect comes from."""

    FROM_PROTOCOL_DEFAULT = "FROM_PROTOCOL_DEFAULT"
    FROM_REQUEST_PORT = "FROM_REQUEST_PORT"


class HttpRedirect(MeshModel):
    """Answer with a redirect."""

    uri: str = ""
    authority: str = ""
    scheme: str = ""
    port: UInt32 | None = None
    derive_port: RedirectPort | None = None
    redirect_code: UInt32 = 0
    prefix_rewrite: str = ""
    one_of = (("port", "derive_port"),)


class HttpBody(MeshModel):
    """A direct response's body; `bytes` is base64."""

    string: str | None = None
    bytes: Annotated[str, BASE64] | None = None
    one_of = (("string", "bytes"),)


class HttpDirectResponse(MeshModel):
    """Answer without any upstream."""

    status: UInt32
    body: HttpBody | None = None


class RegexRewrite(MeshModel):
    """Rewrite the path by an RE2 regex with \\1 substitutions."""

    match: str = ""
    rewrite: str = ""


class HttpRewrite(MeshModel):
    """Rewrite path and authority before forwarding."""

    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None


class HttpRetry(MeshModel):
    """When and how often a request is tried again; `attempts` 0 switches retries off."""

    attempts: Int32 = 0
    per_try_timeout: Duration | None = None
    retry_on: str = ""
    retry_remote_localities: Bool | None = None
    retry_ignore_previous_hosts: Bool | None = None
    backoff: Duration | None = None


class FaultDelay(MeshModel):
    """Delay some requests."""

    fixed_delay: Duration | None = None
    exponential_delay: Duration | None = None
    percentage: Percent | None = None
    percent: Int32 = 0
    one_of = (("fixed_delay", "exponential_delay"),)


class FaultAbort(MeshModel):
    """Answer some requests with an error."""

    http_status: Int32 | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None
    one_of = (("http_status", "grpc_status", "http2_error"),)


class HttpFaultInjection(MeshModel):
    """Faults that the client's proxy injects."""

    delay: FaultDelay | None = None
    abort: FaultAbort | None = None


class MirrorPolicy(MeshModel):
    """One destination that gets a copy of the requests."""

    destination: Destination
    percentage: Percent | None = None


class UnmatchedPreflights(StrEnum):
    """What becomes of preflight requests that match no allowed origin."""

    UNSPECIFIED = "UNSPECIFIED"
    FORWARD = "FORWARD"
    IGNORE = "IGNORE"


class CorsPolicy(MeshModel):
    """Cross-origin resource sharing (Fetch standard)."""

    allow_origin: tuple[str, ...] = ()
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: Duration | None = None
    allow_credentials: Bool | None = None
    unmatched_preflights: UnmatchedPreflights = UnmatchedPreflights.UNSPECIFIED


class Delegate(MeshModel):
    """Another VirtualService whose routes take this entry's place."""

    name: str = ""
    namespace: str = ""


class HttpRoute(MeshModel):
    """One rule: if any of `match` holds (or there is none), do this."""

    name: str = ""
    match: tuple[HttpMatchRequest, ...] = ()
    route: tuple[HttpRouteDestination, ...] = ()
    redirect: HttpRedirect | None = None
    direct_response: HttpDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HttpRewrite | None = None
    timeout: Duration | None = None
    retries: HttpRetry | None = None
    fault: HttpFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: tuple[MirrorPolicy, ...] = ()
    mirror_percent: UInt32 | None = None
    mirror_percent_legacy: UInt32 | None = Field(default=None, alias="mirror_percent")
    mirror_percentage: Percent | None = None
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None


class L4MatchAttributes(MeshModel):
    """Conditions on a TCP connection."""

    destination_subnets: tuple[str, ...] = ()
    port: UInt32 = 0
    source_subnet: str = ""
    source_labels: Labels = {}
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


class TlsMatchAttributes(MeshModel):
    """Conditions on a TLS connection, terminated or not."""

    sni_hosts: tuple[str, ...]
    destination_subnets: tuple[str, ...] = ()
    port: UInt32 = 0
    source_labels: Labels = {}
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


class RouteDestination(MeshModel):
    """One weighted destination of connections."""

    destination: Destination
    weight: Int32 = 0


class TcpRoute(MeshModel):
    """One rule for TCP connections."""

    match: tuple[L4MatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class TlsRoute(MeshModel):
    """One rule for TLS connections that are passed through."""

    match: tuple[TlsMatchAttributes, ...]
    route: tuple[RouteDestination, ...] = ()


class VirtualServiceSpec(MeshModel):
    """Hosts, the gateways it is bound to (none: the mesh), and rules in order."""

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HttpRoute, ...] = ()
    tls: tuple[TlsRoute, ...] = ()
    tcp: tuple[TcpRoute, ...] = ()
    export_to: tuple[str, ...] = ()


class VirtualService(StatusObject):
    """Where requests to these hosts go."""

    spec: VirtualServiceSpec = VirtualServiceSpec()
