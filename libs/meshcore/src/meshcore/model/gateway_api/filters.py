"""Filters of HTTP and gRPC routes: what is done to a request on its way."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from meshcore.model.base import Bool, Int32, MeshModel
from meshcore.model.gateway_api.references import BackendObject, LocalReference, Port, PreciseHostname

HeaderName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$")]
HeaderValue = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[!-~]+([\t ]?[!-~]+)*$")]


class Header(MeshModel):
    """A header and its value."""

    name: HeaderName
    value: HeaderValue


Headers = Annotated[tuple[Header, ...], Field(max_length=16)]


class HeaderModifier(MeshModel):
    """Headers that are set, added and removed."""

    set: Headers = ()
    add: Headers = ()
    remove: Annotated[tuple[str, ...], Field(max_length=16)] = ()


class Fraction(MeshModel):
    """A share of the requests."""

    numerator: Annotated[Int32, Field(ge=0)]
    denominator: Annotated[Int32, Field(ge=1)] = 100


class RequestMirror(MeshModel):
    """A copy of requests goes there as well."""

    backend_ref: BackendObject
    percent: Annotated[Int32, Field(ge=0, le=100)] | None = None
    fraction: Fraction | None = None
    one_of = (("percent", "fraction"),)


class PathModifierType(StrEnum):
    """What of the path is replaced."""

    FULL = "ReplaceFullPath"
    PREFIX = "ReplacePrefixMatch"


class PathModifier(MeshModel):
    """Another path."""

    type: PathModifierType
    replace_full_path: Annotated[str, Field(max_length=1024)] | None = None
    replace_prefix_match: Annotated[str, Field(max_length=1024)] | None = None


class RequestRedirect(MeshModel):
    """The client is sent elsewhere."""

    scheme: Literal["http", "https"] | None = None
    hostname: PreciseHostname | None = None
    path: PathModifier | None = None
    port: Port | None = None
    status_code: Literal[301, 302, 303, 307, 308] | None = None


class UrlRewrite(MeshModel):
    """The backend sees another host or path."""

    hostname: PreciseHostname | None = None
    path: PathModifier | None = None


CorsHeaders = Annotated[tuple[HeaderName, ...], Field(max_length=64)]
CorsMethod = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"]
CorsOrigin = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"(^\*$)|(^(http(s)?)://(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)",
    ),
]


class Cors(MeshModel):
    """Which pages may call."""

    allow_origins: Annotated[tuple[CorsOrigin, ...], Field(max_length=64)] = ()
    allow_credentials: Bool | None = None
    allow_methods: Annotated[tuple[CorsMethod, ...], Field(max_length=9)] = ()
    allow_headers: CorsHeaders = ()
    expose_headers: CorsHeaders = ()
    max_age: Annotated[Int32, Field(ge=1)] | None = None


class ForwardBody(MeshModel):
    """How much of the body goes along."""

    max_size: Annotated[int, Field(ge=0)] = 0


AllowedHeaders = Annotated[tuple[str, ...], Field(max_length=64)]


class GrpcAuth(MeshModel):
    """Ask by gRPC."""

    allowed_headers: AllowedHeaders = ()


class HttpAuth(MeshModel):
    """Ask by HTTP."""

    path: Annotated[str, Field(max_length=1024, pattern=r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$")] = (
        "/"
    )
    allowed_headers: AllowedHeaders = ()
    allowed_response_headers: AllowedHeaders = ()


class ExternalAuth(MeshModel):
    """Somebody else decides."""

    protocol: Literal["HTTP", "GRPC"]
    backend_ref: BackendObject
    grpc: GrpcAuth | None = None
    http: HttpAuth | None = None
    forward_body: ForwardBody | None = None


class GrpcFilter(MeshModel):
    """One filter; the field that its type names is set, and no other."""

    type: Literal["ResponseHeaderModifier", "RequestHeaderModifier", "RequestMirror", "ExtensionRef"]
    request_header_modifier: HeaderModifier | None = None
    response_header_modifier: HeaderModifier | None = None
    request_mirror: RequestMirror | None = None
    extension_ref: LocalReference | None = None


class HttpFilter(MeshModel):
    """One filter; the field that its type names is set, and no other."""

    type: Literal[
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestMirror",
        "RequestRedirect",
        "URLRewrite",
        "ExtensionRef",
        "CORS",
        "ExternalAuth",
    ]
    request_header_modifier: HeaderModifier | None = None
    response_header_modifier: HeaderModifier | None = None
    request_mirror: RequestMirror | None = None
    request_redirect: RequestRedirect | None = None
    url_rewrite: UrlRewrite | None = None
    extension_ref: LocalReference | None = None
    cors: Cors | None = None
    external_auth: ExternalAuth | None = None
