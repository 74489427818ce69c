"""No Gateway that the models accept makes Pilot emit what Envoy refuses: drawn at random, read by a real Envoy."""

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.model.load import parse_object
from meshcore.model.tls_words import CIPHER_SUITES, ECDH_CURVES
from meshcore.testing.envoy import validate
from meshcore.testing.identity import make_ca
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

EXAMPLES = 40
NODE = {
    "id": "router~10.1.0.30~edge-1.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "LABELS": {"app": "edge"}},
}
NAMES = ["a.example", "*.example", "*", "*ple", "b.example", "A.example", "*.local", "outbound.local", "10.0.0.1"]
DIGEST = "AB" * 32
SPKI = "A" * 43 + "="


def some(**fields: st.SearchStrategy) -> st.SearchStrategy:
    return st.fixed_dictionaries({}, optional=fields)


hosts = st.lists(st.sampled_from([*NAMES, f"shop/{NAMES[0]}", "./*.example", "*/*", "other/*"]), min_size=1, max_size=3)
versions = st.sampled_from(["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"])
tls = some(
    mode=st.sampled_from(["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]),
    credentialName=st.sampled_from(["cert", "kubernetes://cert", "sds://cert", "builtin://", "configmap://a/b"]),
    caCertCredentialName=st.sampled_from(["ca", "configmap://shop/ca"]),
    serverCertificate=st.just("/c.pem"),
    privateKey=st.just("/k.pem"),
    caCertificates=st.just("/ca.pem"),
    caCrl=st.just("/crl.pem"),
    httpsRedirect=st.booleans(),
    subjectAltNames=st.lists(st.sampled_from(["a.example", "spiffe://x/y", "10.0.0.1", ""]), max_size=2),
    verifyCertificateSpki=st.lists(st.sampled_from([SPKI, "odd"]), max_size=1),
    verifyCertificateHash=st.lists(st.sampled_from([DIGEST, "odd"]), max_size=1),
    minProtocolVersion=versions,
    maxProtocolVersion=versions,
    cipherSuites=st.lists(st.sampled_from([*sorted(CIPHER_SUITES), "ALL", "-X", "odd"]), max_size=4),
    insecureSkipVerify=st.booleans(),
)
protocols = st.sampled_from(["HTTP", "HTTPS", "TLS", "TCP", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "MYSQL", "odd"])
servers = st.lists(
    st.fixed_dictionaries(
        {
            "port": st.fixed_dictionaries(
                {"number": st.sampled_from([80, 443, 15443]), "name": st.just("p"), "protocol": protocols}
            ),
            "hosts": hosts,
        },
        optional={"tls": tls, "bind": st.sampled_from(["0.0.0.0", "10.1.0.30", "::1", "unix:///tmp/gw.sock"])},
    ),
    min_size=1,
    max_size=4,
)
destinations = st.fixed_dictionaries({"destination": st.sampled_from([{"host": "reviews"}, {"host": "nobody"}])})
gateways = st.sampled_from([["one"], ["one", "two"], ["mesh", "shop/two"]])
services = st.fixed_dictionaries(
    {
        "hosts": st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
        "gateways": gateways,
        "http": st.lists(st.fixed_dictionaries({"route": st.lists(destinations, min_size=1, max_size=1)}), max_size=2),
        "tls": st.lists(
            st.fixed_dictionaries(
                {
                    "match": st.lists(
                        st.fixed_dictionaries(
                            {"sniHosts": st.lists(st.sampled_from(NAMES), max_size=2)},
                            optional={"destinationSubnets": st.just(["10.0.0.0/8", "10.1.2.3"])},
                        ),
                        max_size=2,
                    ),
                    "route": st.lists(destinations, min_size=1, max_size=1),
                }
            ),
            max_size=2,
        ),
        "tcp": st.lists(st.fixed_dictionaries({"route": st.lists(destinations, min_size=1, max_size=1)}), max_size=1),
    }
)
topologies = some(
    numTrustedProxies=st.sampled_from([0, 2]),
    forwardClientCertDetails=st.sampled_from(["UNDEFINED", "SANITIZE", "APPEND_FORWARD", "ALWAYS_FORWARD_ONLY"]),
    proxyProtocol=st.just({}),
)
curves = st.lists(st.sampled_from([*sorted(ECDH_CURVES), "odd"]), max_size=3)


def istio(kind: str, name: str, spec: dict) -> dict:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


@settings(max_examples=EXAMPLES)
@given(servers, servers, st.lists(services, max_size=3), topologies, curves)
def test_whatever_gateways_say_envoy_takes_the_result(first, second, routes, topology, ecdh):
    mesh = {"defaultConfig": {"gatewayTopology": topology}, "tlsDefaults": {"ecdhCurves": ecdh}}
    service = {"selector": {"app": "reviews"}, "ports": [{"name": "any", "port": 9080}], "clusterIP": "10.0.0.1"}
    documents = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {"mesh": yaml.safe_dump(mesh)},
        },
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "reviews", "namespace": "shop"}, "spec": service},
        istio("Gateway", "one", {"selector": {"app": "edge"}, "servers": first}),
        istio("Gateway", "two", {"servers": second}),
        *(istio("VirtualService", f"v{index}", spec) for index, spec in enumerate(routes)),
    ]
    snapshot = MeshSnapshot.of([parse_object(item) for item in documents])
    assert snapshot.diagnostics == {}
    resources = compile_resources(snapshot, classify(parse_node(NODE), snapshot.selection))
    validate(with_certificate(as_bootstrap(resources, NODE)))


paths = st.fixed_dictionaries(
    {
        "path": st.sampled_from(
            [
                "",
                "/",
                "//",
                "/a",
                "/a/",
                "/a//",
                "/a?b",
                "/a#",
                "/?",
                "*",
                "/*",
                ".*",
                "/.*",
                "/a.*",
                "/a/*",
                "a",
                "/ä b\n",
            ]
        ),
        "backend": st.sampled_from(
            [
                {"service": {"name": "reviews", "port": {"number": 9080}}},
                {"service": {"name": "reviews", "port": {"name": "any"}}},
                {"service": {"name": "nobody", "port": {"name": "any"}}},
                {"resource": {"kind": "Bucket", "name": "b"}},
            ]
        ),
    },
    optional={"pathType": st.sampled_from(["Exact", "Prefix", "ImplementationSpecific"])},
)
ingress_hosts = st.sampled_from(["a.example", "b.example", "*.example", "*.b.example"])
ingresses = some(
    tls=st.lists(
        st.fixed_dictionaries(
            {"hosts": st.lists(ingress_hosts, max_size=3)}, optional={"secretName": st.sampled_from(["cert", "other"])}
        ),
        max_size=2,
    ),
    rules=st.lists(
        some(host=ingress_hosts, http=st.fixed_dictionaries({"paths": st.lists(paths, min_size=1, max_size=4)})),
        max_size=3,
    ),
)


@settings(max_examples=EXAMPLES)
@given(st.lists(ingresses, min_size=1, max_size=3))
def test_whatever_ingresses_say_envoy_takes_the_result(found):
    mesh = {"ingressControllerMode": "DEFAULT", "ingressSelector": "edge"}
    service = {"selector": {"app": "reviews"}, "ports": [{"name": "any", "port": 9080}], "clusterIP": "10.0.0.1"}
    config_map = {"name": "istio", "namespace": "istio-system"}
    documents = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": config_map, "data": {"mesh": yaml.safe_dump(mesh)}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "reviews", "namespace": "shop"}, "spec": service},
    ]
    documents += [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": f"i{index}", "namespace": ("shop", "other")[index % 2]},
            "spec": spec,
        }
        for index, spec in enumerate(found)
    ]
    snapshot = MeshSnapshot.of([parse_object(item) for item in documents])
    node = {**NODE, "metadata": {"NAMESPACE": "shop", "LABELS": {"istio": "edge"}}}
    resources = compile_resources(snapshot, classify(parse_node(node), snapshot.selection))
    validate(with_certificate(as_bootstrap(resources, node)))


PAIR = make_ca().issue(None)


def with_certificate(document: Any) -> Any:
    """The document with a real certificate for every secret: Envoy looks at the words of TLS only when it has one."""
    if isinstance(document, list):
        return [with_certificate(item) for item in document]
    if not isinstance(document, dict):
        return document
    made = {key: with_certificate(value) for key, value in document.items()}
    if made.pop("tls_certificate_sds_secret_configs", None):
        chain, key = PAIR.chain.decode(), PAIR.key.pem.decode()
        made["tls_certificates"] = [
            {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}
        ]
    return made
