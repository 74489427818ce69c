"""What documents say that become filters, loggers and tracers: tokens, telemetry and its providers, extensions; and
Ingresses, WorkloadGroups."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

PROVIDERS = tuple(f"p{number}" for number in range(6))
_NAMES = st.sampled_from([*PROVIDERS, "prometheus", "envoy", "nobody"])
FORMATS = st.sampled_from(
    [
        "%REQ(x-a)%",
        "%REQ(x-a?:path):10% %START_TIME(%s.%3f)%",
        "%DYNAMIC_METADATA(a:b)% 100%%",
        "%CEL(request.path)%",
        "%CEL(nope(%)%",
        "%CEL(request.path +)%",
        "%CEL(xds.node.nothing)%",
        "%NOPE%",
        "%REQ%",
        "%",
        "%req(x)%",
        "%FILTER_STATE(a:NOPE)%",
        "%START_TIME(%Q)%",
        "%REQ(a b)%",
        "%DOWNSTREAM_PEER_CERT_V_START(%Q)%",
        "%UPSTREAM_METADATA(a)%",
        "%ENVIRONMENT(HOME)%",
        "%QUERY_PARAM(a):0%",
        "%METADATA(NOPE:a)%",
        "%METADATA(ROUTE:a)%",
        "%COMMON_DURATION(a)%",
        "%COMMON_DURATION(DS_RX_BEG:DS_RX_END:ms)%",
        "%COALESCE(a)%",
        "%XFCC_VALUE(URI)%",
        "%REQ(:path)",
        "a",
        "",
        "\x00",
        "\n",
        "é",
    ]
)
EXPRESSIONS = st.sampled_from(
    [
        "request.path",
        "response.code >= 400",
        "has(request.headers)",
        "'a'",
        "1",
        "true",
        "nope(1)",
        "unknown.attribute == 'x'",
        "request.headers['x-a'].matches('[')",
        "request.path +",
        "1 / 0 == 1",
        "[1, 2].exists(x, x > 1)",
        "'a' + 1",
        "size(request.path) > 3",
        "type(1) == int",
        "timestamp('x') > request.time",
        "",
        "%",
        "a)%",
    ]
)
_HEADERS = st.sampled_from(["x-a", "X-B", ":path", ":authority", "host", "cookie", "a b", "", "x" * 300, "é"])
_KEYS = '{"keys": [{"kty": "RSA", "kid": "a", "e": "AQAB", "n": "' + "sXch" * 86 + '"}]}'
_SCRIPTS = st.sampled_from(
    ["function envoy_on_request(h) h:logInfo('a') end", "nonsense(", "x = 1", "return 1", "goto nowhere", "-- é"]
)

BY_OWNER: Mapping[tuple[str, str], st.SearchStrategy[Any]] = {
    ("JwtRule", "issuer"): st.sampled_from(["https://a.example", "b", "é", "a b"]),
    ("JwtRule", "jwksUri"): st.sampled_from(["https://keys.example/a", "http://plain.shop:9080/keys", "ftp://x", "a"]),
    ("JwtRule", "jwks"): st.sampled_from([_KEYS, "{}", '{"keys": []}', "nonsense", ""]),
    ("JwtRule", "outputPayloadToHeader"): _HEADERS,
    ("JwtRule", "fromParams"): st.sampled_from(["token", "a b", "é", "a&b"]),
    ("JwtRule", "fromCookies"): st.sampled_from(["token", "a b", "é", "a;b"]),
    ("JwtRule", "spaceDelimitedClaims"): st.sampled_from(["scope", "a b", "é", "a.b"]),
    ("JwtHeader", "name"): _HEADERS,
    ("JwtHeader", "prefix"): st.sampled_from(["Bearer ", "", "x", "\n", "é"]),
    ("ClaimToHeader", "header"): _HEADERS,
    ("ClaimToHeader", "claim"): st.sampled_from(["a", "a.b", "a b", "é", ".", "a."]),
    ("ProviderRef", "name"): _NAMES,
    ("LiteralTag", "value"): FORMATS,
    ("NamedTag", "name"): _HEADERS,
    ("NamedTag", "defaultValue"): FORMATS,
    ("TagOverride", "value"): EXPRESSIONS,
    ("LogFilter", "expression"): EXPRESSIONS,
    ("MetricMatch", "customMetric"): st.sampled_from(["a", "istio_requests_total", "é", "a b"]),
    ("FileLogFormat", "text"): FORMATS,
    ("LogFormat", "text"): FORMATS,
    ("FileLogFormat", "labels"): st.dictionaries(st.sampled_from(["a", "", "é"]), FORMATS, max_size=2),
    ("LogFormat", "labels"): st.dictionaries(st.sampled_from(["a", "", "é"]), FORMATS, max_size=2),
    ("FileLogProvider", "path"): st.sampled_from(["/dev/stdout", "/dev/stderr", ""]),
    ("ProviderHeader", "name"): _HEADERS,
    ("ProviderHeader", "value"): FORMATS,
    ("HttpService", "path"): st.sampled_from(["/v1/traces", "", "a", "/é", "/a b"]),
    ("ZipkinProvider", "path"): st.sampled_from(["/api/v2/spans", "", "a", "/é"]),
    ("ExtAuthzHttp", "pathPrefix"): st.sampled_from(["/p", "", "/é", "/a?b", "x", "/a b"]),
    ("WasmSettings", "url"): st.sampled_from(["http://modules.example/a.wasm", "oci://x/y", "modules.example/a"]),
    ("WasmPluginSpec", "url"): st.sampled_from(["http://modules.example/a.wasm", "oci://x/y", "modules.example/a"]),
    ("WasmSettings", "sha256"): st.sampled_from(["", "a" * 64]),
    ("WasmPluginSpec", "sha256"): st.sampled_from(["", "a" * 64]),
    ("LuaSettings", "inlineCode"): _SCRIPTS,
    ("HttpIngressPath", "path"): st.sampled_from(
        ["/", "/a", "a", "", "/é", "/a*", "/a//b", "/a/", "/(a|b)", "/.*", "["]
    ),
    ("HttpIngressPath", "pathType"): st.sampled_from(["Exact", "Prefix", "ImplementationSpecific", "Odd"]),
    ("IngressRule", "host"): st.sampled_from(["api.example", "*.wild.example", "", "*", "a.b.example", "10.0.0.1"]),
    ("IngressTls", "hosts"): st.sampled_from(["api.example", "*.wild.example", "other.example", "*"]),
    ("IngressTls", "secretName"): st.sampled_from(["cert", "missing", ""]),
    ("ServiceBackend", "name"): st.sampled_from(["reviews", "plain", "nobody"]),
    ("ServiceBackendPort", "name"): st.sampled_from(["http", "tcp-raw", "nope", ""]),
    ("IngressSpec", "ingressClassName"): st.sampled_from(["istio", "nginx"]),
    **{
        (owner, "service"): st.sampled_from(
            ["plain.shop.svc.cluster.local", "shop/reviews.shop.svc.cluster.local", "nobody.example", "a b", "10.0.0.1"]
        )
        for owner in (
            *("ExtAuthzGrpc", "ExtAuthzHttp", "ZipkinProvider", "LightstepProvider", "DatadogProvider"),
            *("SkyWalkingProvider", "OpenCensusProvider", "OpenTelemetryProvider", "TcpGrpcLogProvider"),
            *("HttpGrpcLogProvider", "OtelLogProvider", "SdsProvider", "DynatraceApi"),
        )
    },
    **{
        ("ExtAuthzHttp", alias): st.sampled_from(["x-a", "x-*", "*-b", "*", "", "a b", "é", ":path"])
        for alias in (
            *("includeHeadersInCheck", "includeRequestHeadersInCheck", "headersToUpstreamOnAllow"),
            *("headersToDownstreamOnDeny", "headersToDownstreamOnAllow"),
        )
    },
    **{
        ("HttpGrpcLogProvider", alias): _HEADERS
        for alias in (
            *("additionalRequestHeadersToLog", "additionalResponseHeadersToLog"),
            "additionalResponseTrailersToLog",
        )
    },
    **{
        (owner, "statusOnError"): st.sampled_from(["403", "503", "", "999", "x", "0403"])
        for owner in ("ExtAuthzGrpc", "ExtAuthzHttp")
    },
    ("DefaultProviders", "tracing"): _NAMES,
    ("DefaultProviders", "metrics"): _NAMES,
    ("DefaultProviders", "accessLogging"): _NAMES,
    ("MeshConfig", "accessLogFormat"): FORMATS,
    ("MeshConfig", "accessLogFile"): st.sampled_from(["/dev/stdout", ""]),
}
ALWAYS: Mapping[str, tuple[str, ...]] = {
    "JwtRule": ("issuer",),
    "IngressRule": ("http",),
    "IngressBackend": ("service",),
    "HttpIngressPath": ("pathType", "path"),
    "ServiceBackend": ("port",),
    "WasmSettings": ("sha256",),
    "WasmPluginSpec": ("sha256",),
    **{
        owner: ("service", "port")
        for owner in (
            *("ExtAuthzGrpc", "ExtAuthzHttp", "ZipkinProvider", "OpenTelemetryProvider", "TcpGrpcLogProvider"),
            *("HttpGrpcLogProvider", "OtelLogProvider"),
        )
    },
}
ONE_OF_THEM: Mapping[str, tuple[str, ...]] = {
    "TrafficExtensionSpec": ("lua", "lua", "wasm"),
    "ServiceBackendPort": ("name", "number"),
    "CustomTag": ("literal", "environment", "header", "formatter"),
    "ExtensionProvider": (
        *("envoyExtAuthzHttp", "envoyExtAuthzGrpc", "zipkin", "opentelemetry", "opentelemetry", "prometheus"),
        *("envoyFileAccessLog", "envoyFileAccessLog", "envoyHttpAls", "envoyTcpAls", "envoyOtelAls"),
        *("lightstep", "datadog", "skywalking", "stackdriver", "opencensus", "sds"),
    ),
}
MESSAGES = frozenset(
    {
        ("ServiceBackend", "port"),
        ("IngressBackend", "service"),
        ("HttpService", "headers"),
        ("ZipkinProvider", "headers"),
    }
)
KEYS: Mapping[str, st.SearchStrategy[str]] = {
    "customTags": st.sampled_from(["a", "b", "é", "a b"]),
    "tagOverrides": st.sampled_from(["request_path", "response_code", "reporter", "a b", "é", ""]),
    "includeAdditionalHeadersInCheck": st.sampled_from(["x-a", "a b", ":path", "", "é"]),
}
"""Keys of mappings."""
