"""What the fields of drawn documents say: few names, so that objects meet, and odd values among the usual ones."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from tests.properties import words_of_filters

DURATIONS = st.sampled_from(["0s", "1ms", "1.5s", "90s", "1h", "8760h"])
FRACTIONS = st.sampled_from([0.0, 0.01, 1.0, 33.3, 99.999, 100.0])
NUMBERS = st.sampled_from([0, 1, 2, 7, 80, 100, 1024, 65535, 2147483647])
TEXTS = st.sampled_from(["", "a", "x-y", "a b", "%", "*", "é", "a.example", "/a", "v1"])

SERVICES = ("reviews", "headless", "plain")
HOSTS = ("reviews", "headless.shop.svc.cluster.local", "plain.shop", "api.example", "*.wild.example", "nobody")
SUBSETS = st.sampled_from(["v1", "v2", "v9"])
PORTS = st.sampled_from([80, 443, 9000, 9080, 9090, 9443, 15001, 15006, 15090])
LABELS = st.dictionaries(st.sampled_from(["app", "v"]), st.sampled_from(["reviews", "1"]), max_size=1)
FILES = st.sampled_from(["/etc/certs/a.pem", "/etc/certs/b.pem", "a.pem"])
PROTOCOLS = st.sampled_from(
    ["HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TLS", "TCP", "MONGO", "MYSQL", "REDIS", "UDP", "http", "odd", ""]
)
HEADERS = st.sampled_from(
    ["x-a", "X-B", "host", ":authority", ":path", ":method", "cookie", "@request.auth.claims.a", "", "a b"]
)
PATTERNS = st.sampled_from(["/.*", "[0-9]+", "(a|b)?", "^/x/(.*)$", "(?i)a", "[", "a{2,1}", "\\C", "x*" * 40])
ADDRESSES = st.sampled_from(
    [
        "10.1.0.1",
        "10.1.0.2",
        "2001:db8::1",
        "10.9.0.0/16",
        "0.0.0.0",
        "127.0.0.1",
        "unix:///tmp/app.sock",
        "backend.example",
    ]
)
LOCALITIES = st.sampled_from(["r1", "r1/z1", "r1/z1/s1", "r2/*", "*", "r2/z2/s2"])
SANS = st.sampled_from(["a.example", "*.example", "spiffe://cluster.local/ns/shop/sa/reviews", "10.0.0.1", ""])
CIPHERS = st.sampled_from(["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "AES128-SHA", "NOPE"])

ALWAYS: Mapping[str, tuple[str, ...]] = {
    "TcpRoute": ("route",),
    "TlsRoute": ("route",),
    "SidecarPort": ("number", "protocol", "name"),
    "PortSelector": ("number",),
    "PortTrafficPolicy": ("port",),
    "ServicePort": ("protocol",),
    "IngressListener": ("defaultEndpoint",),
    "Subset": ("labels",),
    "EndpointSpec": ("address",),
    "From": ("source",),
    "To": ("operation",),
    "Condition": ("key", "values"),
    **words_of_filters.ALWAYS,
}
"""Fields without which a message is refused or says nothing."""
ONE_OF_THEM: Mapping[str, tuple[str, ...]] = {
    "HttpRoute": ("route", "route", "route", "route", "redirect", "directResponse", "delegate"),
    "LoadBalancerSettings": ("simple", "consistentHash", "consistentHash"),
    "ConsistentHash": ("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"),
    **words_of_filters.ONE_OF_THEM,
}
"""Fields of which a message has exactly one."""
LEFT_OUT = frozenset({"mirror_percent"})
"""Legacy spellings that stand for another field."""
NEVER_EMPTY = frozenset(
    {
        "from",
        "to",
        "principals",
        "paths",
        "methods",
        "hosts",
        "servers",
        "ports",
        "sniHosts",
        "route",
        "match",
        "allowOrigins",
        "credentialNames",
        "tlsCertificates",
        "configPatches",
        "rules",
        "overrides",
        "jwtRules",
        "outputClaimToHeaders",
        "fromHeaders",
    }
)
"""Lists that say nothing when they are empty."""

_NAMES_OF_CALLERS = st.sampled_from(
    [
        "*",
        "shop",
        "shop/a",
        "a.b",
        "a[b",
        "*x",
        "x*",
        "**",
        "cluster.local/ns/shop/sa/a",
        "*/sa/a",
        "é",
        "\\",
        "x" * 300,
    ]
)
_HOST_VALUES = st.sampled_from(["a.example", "*.example", "a.*", "*", "**", "A.Example:80", "[::1]", "é"])
_PATH_VALUES = st.sampled_from(
    [
        "/",
        "/a",
        "/a/*",
        "*/a",
        "*",
        "**",
        "a",
        "/é",
        "/a?b",
        "/%2f",
        "/a/{*}",
        "/{**}",
        "/{**}/",
        "/{*}/{**}",
        "/a/{**}/b",
        "/{*}/{*}/{*}/{*}/{*}/{*}/{*}",
        "a/{*}",
        "{*}",
        "/{*}/",
        "//{*}",
        "/a=b/{*}",
        "/a*b/{*}",
        "/%20/{*}",
        "/a{*}",
        "/{a}",
        "/a b/{*}",
        "/" + "a" * 3000 + "/{*}",
    ]
)
_CONDITION_KEYS = st.sampled_from(
    [
        "request.headers[x-a]",
        "request.headers[:path]",
        "request.headers[a b]",
        "request.headers[]",
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.principal",
        "source.serviceAccount",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "request.auth.claims[a]",
        "request.auth.claims[a][b.c]",
        "destination.ip",
        "destination.port",
        "connection.sni",
        "experimental.envoy.filters.network.mysql_proxy[a.b]",
        "experimental.envoy.filters.[a]",
    ]
)
_CONDITION_VALUES = st.sampled_from(
    ["*", "a", "a*", "*a", "[a]", "[*]", "[]", "10.0.0.0/8", "80", "shop/a", "é", "x" * 300]
)
_URI = st.sampled_from(["/", "/a", "/b/", "", "a", "/é", "/a?b=c", "/%2f"])
_BY_FIELD: Mapping[str, st.SearchStrategy[Any]] = {
    "host": st.sampled_from(HOSTS),
    "name": st.sampled_from(["a", "b", "http", "tcp-c", "v1", "x-y"]),
    "subset": SUBSETS,
    "number": PORTS,
    "port": PORTS,
    "targetPort": PORTS,
    "exact": _URI,
    "prefix": _URI,
    "regex": PATTERNS,
    "uri": _URI,
    "rewrite": st.sampled_from(["/y/\\1", "\\0", "\\9", "\\", "/y"]),
    "authority": st.sampled_from(["h.example", "h.example:80", "[::1]", "a b", ""]),
    "scheme": st.sampled_from(["http", "https", "ftp", ""]),
    "remove": HEADERS,
    "httpHeaderName": HEADERS,
    "weight": st.sampled_from([0, 1, 50, 100, 2147483647]),
    "attempts": st.sampled_from([0, 1, 3, 2147483647]),
    "retryOn": st.sampled_from(
        ["5xx,503", "gateway-error", "reset,connect-failure", "retriable-headers", "500", "x", ""]
    ),
    "httpStatus": st.sampled_from([200, 418, 503, 599, 100, 999]),
    "status": st.sampled_from([200, 204, 418, 503, 599, 100, 999]),
    "redirectCode": st.sampled_from([0, 301, 302, 303, 307, 308, 404]),
    "grpcStatus": st.sampled_from(["UNAVAILABLE", "14", "odd", "DEADLINE_EXCEEDED"]),
    "allowOrigin": st.sampled_from(["*", "http://a.example"]),
    "allowMethods": st.sampled_from(["GET", "get", "*", ""]),
    "allowHeaders": st.sampled_from(["x-a", "*", ""]),
    "exposeHeaders": st.sampled_from(["x-a", "*"]),
    "sourceLabels": LABELS,
    "labels": LABELS,
    "matchLabels": LABELS,
    "selector": LABELS,
    "sourceNamespace": st.sampled_from(["shop", "other"]),
    "namespace": st.sampled_from(["shop", "other", ""]),
    "gateways": st.sampled_from(["mesh", "shop/gate", "gate"]),
    "exportTo": st.sampled_from(["*", ".", "shop", "~"]),
    "destinationSubnets": st.sampled_from(["10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "0.0.0.0/0", "10.1.2.3/16"]),
    "sourceSubnet": st.sampled_from(["10.0.0.0/8", "10.1.2.3"]),
    "sniHosts": st.sampled_from(["api.example", "*.wild.example", "a.wild.example", "*"]),
    "protocol": PROTOCOLS,
    "bind": st.sampled_from(["0.0.0.0", "127.0.0.1", "10.1.0.9", "::", "unix:///tmp/in.sock"]),
    "defaultEndpoint": st.sampled_from(
        ["127.0.0.1:8080", "0.0.0.0:9090", "unix:///tmp/app.sock", "10.1.0.9:80", "127.0.0.1"]
    ),
    "addresses": ADDRESSES,
    "address": ADDRESSES,
    "locality": LOCALITIES,
    "from": LOCALITIES,
    "failoverPriority": st.sampled_from(["app", "v=1", "topology.istio.io/network", "topology.kubernetes.io/region"]),
    "subjectAltNames": SANS,
    "sni": st.sampled_from(["s.example", "a b", ""]),
    "cipherSuites": CIPHERS,
    "ecdhCurves": st.sampled_from(["P-256", "X25519", "NOPE"]),
    "credentialName": st.sampled_from(["gate-cert", "other/cert", "sds://x", "builtin://", "configmap://c", "a b"]),
    "credentialNames": st.sampled_from(["gate-cert", "other-cert"]),
    "caCertCredentialName": st.sampled_from(["gate-ca", "configmap://c"]),
    "clientCertificate": FILES,
    "serverCertificate": FILES,
    "privateKey": FILES,
    "caCertificates": st.sampled_from(["/etc/certs/root.pem", "system"]),
    "caCrl": st.sampled_from(["", "/etc/certs/crl.pem"]),
    "verifyCertificateSpki": st.sampled_from(["A" * 43 + "=", "nonsense"]),
    "verifyCertificateHash": st.sampled_from(["ab" * 32, "nonsense", ":".join(["ab"] * 32)]),
    "bytes": st.sampled_from(["aGk=", "?"]),
    "body": st.sampled_from([{"string": "no"}, {"string": ""}, {"bytes": "aGk="}, {"string": "x" * 5000}]),
    "outlierDetectionHttpErrorCodes": st.sampled_from([100, 404, 503, 599]),
    "minimumRingSize": st.sampled_from([0, 1, 1024, 8388608, 8388609, 2**40]),
    "tableSize": st.sampled_from([0, 1, 2, 10, 251, 5000011, 5000017, 2**40]),
    "targetHost": st.sampled_from(["proxy.example", "10.0.0.9", "::1"]),
    "workloadSelector": st.fixed_dictionaries({"labels": LABELS}),
    "principals": _NAMES_OF_CALLERS,
    "notPrincipals": _NAMES_OF_CALLERS,
    "requestPrincipals": _NAMES_OF_CALLERS,
    "notRequestPrincipals": _NAMES_OF_CALLERS,
    "namespaces": _NAMES_OF_CALLERS,
    "notNamespaces": _NAMES_OF_CALLERS,
    "serviceAccounts": _NAMES_OF_CALLERS,
    "notServiceAccounts": _NAMES_OF_CALLERS,
    "trustDomains": _NAMES_OF_CALLERS,
    "notTrustDomains": _NAMES_OF_CALLERS,
    "ipBlocks": ADDRESSES,
    "notIpBlocks": ADDRESSES,
    "remoteIpBlocks": ADDRESSES,
    "notRemoteIpBlocks": ADDRESSES,
    "notPorts": st.sampled_from(["80", "0", "65535", "http"]),
    "methods": st.sampled_from(["GET", "get", "*", "P*", "*T", "**", "A B"]),
    "notMethods": st.sampled_from(["GET", "*"]),
    "notHosts": _HOST_VALUES,
    "paths": _PATH_VALUES,
    "notPaths": _PATH_VALUES,
}
_BY_OWNER: Mapping[tuple[str, str], st.SearchStrategy[Any]] = {
    ("Operation", "hosts"): _HOST_VALUES,
    ("Operation", "ports"): st.sampled_from(["80", "9080", "0", "65535", "http"]),
    ("Condition", "key"): _CONDITION_KEYS,
    ("Condition", "values"): _CONDITION_VALUES,
    ("Condition", "notValues"): _CONDITION_VALUES,
    ("Provider", "name"): st.sampled_from(["judge", "judges", "nobody"]),
    ("EgressListener", "hosts"): st.sampled_from(
        ["./*", "*/*", "shop/*", "~/*", "*/api.example", "./reviews.shop.svc.cluster.local"]
    ),
    ("Server", "hosts"): st.sampled_from(["*", "api.example", "shop/*", "./*.wild.example", "*.example", "~/*"]),
    ("VirtualServiceSpec", "hosts"): st.sampled_from([*HOSTS, "*"]),
    ("ServiceEntrySpec", "hosts"): st.sampled_from(["api.example", "*.wild.example", "10.1.0.1", "a.wild.example"]),
    ("HttpRoute", "name"): st.sampled_from(["", "r", "é r"]),
    ("Delegate", "name"): st.sampled_from(["part", "nobody"]),
    ("TunnelSettings", "protocol"): st.sampled_from(["CONNECT", "POST", "", "GET"]),
    ("HttpMatchRequest", "port"): st.sampled_from([0, 80, 9080]),
    **words_of_filters.BY_OWNER,
}
_BY_MESSAGE_FIELD = frozenset(
    {
        ("AuthorizationPolicySpec", "selector"),
        ("Rule", "from"),
        ("Rule", "to"),
        ("Destination", "port"),
        ("PortTrafficPolicy", "port"),
        ("HttpRedirect", "uri"),
        ("Server", "port"),
        ("IngressListener", "port"),
        ("EgressListener", "port"),
        ("HttpMatchRequest", "uri"),
        ("HttpMatchRequest", "scheme"),
        ("HttpMatchRequest", "authority"),
        ("HttpMatchRequest", "method"),
        ("HttpRoute", "rewrite"),
        ("DestinationRuleSpec", "workloadSelector"),
        ("RegexRewrite", "match"),
    }
    | words_of_filters.MESSAGES
)
"""Fields that are messages although a scalar elsewhere has their name."""


def of_field(owner: str, alias: str) -> st.SearchStrategy[Any] | None:
    """What a field of this name says; None: whatever its type allows."""
    if (owner, alias) in _BY_MESSAGE_FIELD and owner != "HttpRedirect":
        return None
    return _BY_OWNER.get((owner, alias), _BY_FIELD.get(alias))


def keys_of(alias: str) -> st.SearchStrategy[str]:
    """Keys of a mapping of this name."""
    if alias == "to":
        return LOCALITIES
    if alias in words_of_filters.KEYS:
        return words_of_filters.KEYS[alias]
    return (
        HEADERS
        if alias in ("headers", "withoutHeaders", "queryParams", "set", "add")
        else st.sampled_from(["a", "http", "v"])
    )
