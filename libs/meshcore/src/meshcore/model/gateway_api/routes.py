"""HTTPRoute, GRPCRoute, TCPRoute, TLSRoute, UDPRoute: where traffic goes."""

from typing import Annotated, Literal

from pydantic import Field

from meshcore.model.base import Int32, MeshModel, StatusObject
from meshcore.model.gateway_api.filters import GrpcFilter, HeaderName, HeaderValue, HttpFilter
from meshcore.model.gateway_api.references import (
    BackendReference,
    Hostname,
    ParentReferences,
    SectionName,
    Span,
)

MatchType = Literal["Exact", "RegularExpression"]


class CookieConfig(MeshModel):
    """How long the cookie lives."""

    lifetime_type: Literal["Permanent", "Session"] = "Session"


class SessionPersistence(MeshModel):
    """Requests of one session go to one backend."""

    session_name: Annotated[str, Field(max_length=128)] = ""
    absolute_timeout: Span | None = None
    type: Literal["Cookie", "Header"] = "Cookie"
    cookie_config: CookieConfig | None = None


class RouteSpec(MeshModel):
    """What all routes have."""

    parent_refs: ParentReferences = ()
    use_default_gateways: Literal["All", "None"] | None = None


class PathMatch(MeshModel):
    """How the path must look."""

    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: Annotated[str, Field(max_length=1024)] = "/"


class HttpHeaderMatch(MeshModel):
    """How a header must look."""

    type: MatchType = "Exact"
    name: HeaderName
    value: HeaderValue


class QueryParamMatch(MeshModel):
    """How a query parameter must look."""

    type: MatchType = "Exact"
    name: HeaderName
    value: Annotated[str, Field(min_length=1, max_length=1024)]


class HttpRouteMatch(MeshModel):
    """Everything that is set must hold."""

    path: PathMatch | None = None
    headers: Annotated[tuple[HttpHeaderMatch, ...], Field(max_length=16)] = ()
    query_params: Annotated[tuple[QueryParamMatch, ...], Field(max_length=16)] = ()
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"] | None = None


class HttpBackend(BackendReference):
    """A backend, with filters of its own."""

    filters: Annotated[tuple[HttpFilter, ...], Field(max_length=16)] = ()


class HttpTimeouts(MeshModel):
    """How long a request may take, and one try of it."""

    request: Span | None = None
    backend_request: Span | None = None


class RouteRetry(MeshModel):
    """Which answers are tried again."""

    codes: tuple[Annotated[Int32, Field(ge=400, le=599)], ...] = ()
    attempts: Annotated[Int32, Field(ge=1)] | None = None
    backoff: Span | None = None


class HttpRouteRule(MeshModel):
    """Matches, filters and backends; without matches every path."""

    name: SectionName | None = None
    matches: Annotated[tuple[HttpRouteMatch, ...], Field(max_length=64)] = ()
    filters: Annotated[tuple[HttpFilter, ...], Field(max_length=16)] = ()
    backend_refs: Annotated[tuple[HttpBackend, ...], Field(max_length=16)] = ()
    timeouts: HttpTimeouts | None = None
    retry: RouteRetry | None = None
    session_persistence: SessionPersistence | None = None


class HttpRouteSpec(RouteSpec):
    """Hosts and rules."""

    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    rules: Annotated[tuple[HttpRouteRule, ...], Field(min_length=1, max_length=16)] = (HttpRouteRule(),)


class HttpRoute(StatusObject):
    """Routes of HTTP."""

    spec: HttpRouteSpec


class GrpcMethodMatch(MeshModel):
    """Service and method."""

    type: MatchType = "Exact"
    service: Annotated[str, Field(max_length=1024)] | None = None
    method: Annotated[str, Field(max_length=1024)] | None = None


class GrpcHeaderMatch(MeshModel):
    """How a header must look."""

    type: MatchType = "Exact"
    name: HeaderName
    value: Annotated[str, Field(min_length=1, max_length=4096)]


class GrpcRouteMatch(MeshModel):
    """Everything that is set must hold."""

    method: GrpcMethodMatch | None = None
    headers: Annotated[tuple[GrpcHeaderMatch, ...], Field(max_length=16)] = ()


class GrpcBackend(BackendReference):
    """A backend, with filters of its own."""

    filters: Annotated[tuple[GrpcFilter, ...], Field(max_length=16)] = ()


class GrpcRouteRule(MeshModel):
    """Matches, filters and backends."""

    name: SectionName | None = None
    matches: Annotated[tuple[GrpcRouteMatch, ...], Field(max_length=64)] = ()
    filters: Annotated[tuple[GrpcFilter, ...], Field(max_length=16)] = ()
    backend_refs: Annotated[tuple[GrpcBackend, ...], Field(max_length=16)] = ()
    session_persistence: SessionPersistence | None = None


class GrpcRouteSpec(RouteSpec):
    """Hosts and rules."""

    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    rules: Annotated[tuple[GrpcRouteRule, ...], Field(max_length=16)] = ()


class GrpcRoute(StatusObject):
    """Routes of gRPC."""

    spec: GrpcRouteSpec


class ConnectionRule(MeshModel):
    """Backends of connections."""

    name: SectionName | None = None
    backend_refs: Annotated[tuple[BackendReference, ...], Field(min_length=1, max_length=16)]


class ConnectionRouteSpec(RouteSpec):
    """One rule."""

    rules: Annotated[tuple[ConnectionRule, ...], Field(min_length=1, max_length=1)]


class TcpRoute(StatusObject):
    """Routes of TCP."""

    spec: ConnectionRouteSpec


class UdpRoute(StatusObject):
    """Routes of UDP."""

    spec: ConnectionRouteSpec


class TlsRouteSpec(ConnectionRouteSpec):
    """One rule, for server names."""

    hostnames: Annotated[tuple[Hostname, ...], Field(min_length=1, max_length=1024)]


class TlsRoute(StatusObject):
    """Routes of TLS by server name."""

    spec: TlsRouteSpec
