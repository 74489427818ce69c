"""No VirtualService or DestinationRule that the models accept makes Pilot emit what Envoy refuses.

Field by field drawn at random, odd values included; a real Envoy reads the result.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.model.load import parse_object
from meshcore.testing.envoy import validate
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

EXAMPLES = 40
CLIENT = {"id": "sidecar~10.1.0.9~client.shop~shop.svc.cluster.local", "metadata": {"NAMESPACE": "shop"}}


def some(**fields: st.SearchStrategy) -> st.SearchStrategy:
    return st.fixed_dictionaries({}, optional=fields)


def one_of_fields(**fields: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(*(st.fixed_dictionaries({name: value}) for name, value in fields.items()))


durations = st.sampled_from(["0s", "1ms", "1.5s", "1h"])
uints = st.sampled_from([0, 1, 7, 100])
percents = some(value=st.sampled_from([0, 0.01, 33.3, 100]))
strings = st.one_of(
    st.just({}), one_of_fields(exact=st.just("/a"), prefix=st.sampled_from(["/", "/b", ""]), regex=st.just("/.*[0-9]"))
)
headers = st.dictionaries(st.sampled_from(["x-a", "x-B", "@request.auth.claims.a", "host"]), strings, max_size=2)
operations = some(
    set=st.dictionaries(st.sampled_from(["x-a", "host", ":authority"]), st.just("v"), max_size=2),
    add=st.dictionaries(st.sampled_from(["x-b"]), st.just("w"), max_size=1),
    remove=st.lists(st.sampled_from(["x-c", ":path"]), max_size=2),
)
header_changes = some(request=operations, response=operations)
destinations = st.fixed_dictionaries(
    {"host": st.sampled_from(["reviews", "nobody", "api.example"])},
    optional={"subset": st.sampled_from(["v1", "v9"]), "port": st.just({"number": 9080})},
)
routes = st.lists(
    st.fixed_dictionaries(
        {"destination": destinations}, optional={"weight": st.sampled_from([0, 1, 99]), "headers": header_changes}
    ),
    max_size=3,
)
streams = st.lists(
    st.fixed_dictionaries({"destination": destinations}, optional={"weight": st.sampled_from([0, 1, 99])}), max_size=3
)
matches = some(
    name=st.just("m"),
    uri=strings,
    method=strings,
    authority=strings,
    scheme=strings,
    headers=headers,
    withoutHeaders=headers,
    queryParams=headers,
    ignoreUriCase=st.booleans(),
    port=st.sampled_from([0, 9080]),
)
fixed_rules = some(
    name=st.just("r"),
    match=st.lists(matches, max_size=2),
    timeout=durations,
    retries=some(
        attempts=st.sampled_from([0, 3]),
        perTryTimeout=durations,
        retryOn=st.sampled_from(["", "5xx,503", "gateway-error"]),
        backoff=durations,
        retryRemoteLocalities=st.booleans(),
        retryIgnorePreviousHosts=st.booleans(),
    ),
    fault=some(
        delay=some(fixedDelay=durations, percentage=percents),
        abort=st.one_of(
            some(percentage=percents),
            st.fixed_dictionaries({"httpStatus": st.just(418)}),
            st.fixed_dictionaries({"grpcStatus": st.sampled_from(["UNAVAILABLE", "14", "odd"])}),
        ),
    ),
    corsPolicy=some(
        allowOrigins=st.lists(strings.filter(bool), max_size=2),
        allowMethods=st.just(["GET"]),
        maxAge=durations,
        allowCredentials=st.booleans(),
    ),
    mirrors=st.lists(st.fixed_dictionaries({"destination": destinations, "percentage": percents}), max_size=2),
    headers=header_changes,
    rewrite=st.one_of(
        some(uri=st.just("/x"), authority=st.just("h.example")),
        st.just({"uriRegexRewrite": {"match": "/(.*)", "rewrite": "/y/\\1"}}),
    ),
)
actions = st.one_of(
    st.fixed_dictionaries({"route": routes}),
    st.fixed_dictionaries({"redirect": some(uri=st.just("/r"), authority=st.just("h"), scheme=st.just("https"))}),
    st.fixed_dictionaries({"directResponse": st.just({"status": 503, "body": {"string": "no"}})}),
    st.just({"delegate": {"name": "other"}}),
)
rules = st.builds(lambda rule, action: {**rule, **action}, fixed_rules, actions)

policies = some(
    loadBalancer=st.one_of(
        st.fixed_dictionaries(
            {"simple": st.sampled_from(["RANDOM", "ROUND_ROBIN", "LEAST_REQUEST", "PASSTHROUGH"])},
            optional={"warmup": st.fixed_dictionaries({"duration": durations})},
        ),
        st.fixed_dictionaries(
            {
                "consistentHash": st.sampled_from(
                    [
                        {"httpHeaderName": "x-u"},
                        {"httpCookie": {"name": "c"}},
                        {"useSourceIp": True, "maglev": {"tableSize": 10}},
                        {"httpQueryParameterName": "q", "ringHash": {"minimumRingSize": 64}},
                    ]
                )
            }
        ),
    ),
    connectionPool=some(
        tcp=some(maxConnections=uints, connectTimeout=durations, tcpKeepalive=some(time=durations, probes=uints)),
        http=some(
            http1MaxPendingRequests=uints,
            maxRequestsPerConnection=uints,
            maxConcurrentStreams=uints,
            idleTimeout=durations,
            h2UpgradePolicy=st.sampled_from(["DEFAULT", "UPGRADE"]),
            useClientProtocol=st.booleans(),
            http2KeepAlive=st.fixed_dictionaries({"interval": st.just("1s")}),
        ),
    ),
    outlierDetection=some(
        consecutive5xxErrors=uints,
        consecutiveGatewayErrors=uints,
        interval=st.just("1s"),
        baseEjectionTime=st.just("1m"),
        maxEjectionPercent=uints,
        minHealthPercent=uints,
        splitExternalLocalOriginErrors=st.booleans(),
        consecutiveLocalOriginFailures=uints,
    ),
    tls=st.fixed_dictionaries(
        {"mode": st.sampled_from(["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"])},
        optional={
            "sni": st.just("s.example"),
            "subjectAltNames": st.just(["a.example", "spiffe://x/y"]),
            "insecureSkipVerify": st.booleans(),
            "credentialName": st.just("c"),
            "caCertificates": st.just("/ca.pem"),
            "clientCertificate": st.just("/c.pem"),
            "privateKey": st.just("/k.pem"),
        },
    ),
    retryBudget=some(percent=st.just(25.0), minRetryConcurrency=uints),
)
connections = st.lists(
    st.fixed_dictionaries(
        {"match": st.lists(some(destinationSubnets=st.just(["10.0.0.0/8", "10.1.2.3"]), port=uints), max_size=2)},
        optional={"route": streams},
    ),
    max_size=2,
)
tls_connections = st.lists(
    st.fixed_dictionaries(
        {
            "match": st.lists(
                st.fixed_dictionaries(
                    {"sniHosts": st.lists(st.sampled_from(["api.example", "*", "*.example", "*ple"]), max_size=2)}
                ),
                max_size=2,
            ),
            "route": streams,
        }
    ),
    max_size=2,
)


def istio(kind: str, name: str, spec: dict) -> dict:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


@settings(max_examples=EXAMPLES)
@given(
    st.lists(rules, max_size=3),
    policies,
    policies,
    connections,
    tls_connections,
    st.sampled_from(["http", "grpc", "x"]),
)
def test_whatever_rules_say_envoy_takes_the_result(http, policy, subset_policy, tcp, tls, port_name):
    subsets = [{"name": "v1", "labels": {"v": "1"}, "trafficPolicy": subset_policy}]
    ports = [{"name": port_name, "port": 9080}, {"name": "tcp-raw", "port": 9000}]
    service = {"selector": {"app": "reviews"}, "ports": ports, "clusterIP": "10.0.0.1"}
    entry = {
        "hosts": ["api.example", "*.wild.example"],
        "ports": [
            {"number": 443, "name": "tls", "protocol": "TLS"},
            {"number": 80, "name": "http", "protocol": "HTTP"},
        ],
        "resolution": "NONE",
    }
    documents = [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "reviews", "namespace": "shop"}, "spec": service},
        istio(
            "WorkloadEntry", "w", {"address": "10.1.0.1", "labels": {"app": "reviews", "v": "1"}, "serviceAccount": "r"}
        ),
        istio("ServiceEntry", "e", entry),
        istio("DestinationRule", "d", {"host": "reviews", "trafficPolicy": policy, "subsets": subsets}),
        istio("DestinationRule", "f", {"host": "api.example", "trafficPolicy": policy}),
        istio("VirtualService", "v", {"hosts": ["reviews"], "http": http, "tcp": tcp}),
        istio("VirtualService", "x", {"hosts": ["api.example"], "tls": tls}),
    ]
    snapshot = MeshSnapshot.of([parse_object(item) for item in documents])
    resources = compile_resources(snapshot, classify(parse_node(CLIENT), snapshot.selection))
    validate(as_bootstrap(resources, CLIENT))
