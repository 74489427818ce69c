import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from galley.core.analysis.analysis import Suppression, analyze, at_least, parse_suppression, worst_reaches
from galley.core.analysis.analyzer import Analyzer, Moment
from galley.core.analysis.annotation_values import CHECKS
from galley.core.analysis.default_objects import default_objects
from galley.core.analysis.documents import read_documents
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import GATEWAY
from galley.core.analysis.message import Level, Message
from galley.core.analysis.message_types import CLUSTER_CHECKS, MESSAGE_TYPES, is_known
from galley.core.analysis.registry import ANALYZERS, named
from galley.core.analysis.resource import resources_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meshcore.model.load import Document, load_yaml_documents

GATEWAYS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: one, namespace: a}
spec: {selector: {app: edge}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: two, namespace: b}
spec: {selector: {app: edge}}
---
apiVersion: v1
kind: Namespace
metadata: {name: plain}
"""


def inputs(text: str, **options: Any) -> Inputs:
    return Inputs(resources_of(load_yaml_documents(text, "f.yaml"), **options))


def found(text: str, *names: str, now: float = 0.0, **options: Any) -> list[tuple[str, str]]:
    messages = analyze(inputs(text), Moment(now), analyzers=named(names), **options)
    return [(message.type.code, message.origin) for message in messages]


def test_a_message_names_file_and_line_and_comes_once() -> None:
    messages = analyze(inputs(GATEWAYS), Moment(), analyzers=named(("gateway.IngressGatewayPortAnalyzer",)))
    assert [message.log_line() for message in messages] == [
        'Error [IST0101] (Gateway a/one f.yaml:5) Referenced selector not found: "app=edge"',
        'Error [IST0101] (Gateway b/two f.yaml:10) Referenced selector not found: "app=edge"',
    ]
    both = named(("gateway.IngressGatewayPortAnalyzer", "gateway.SecretAnalyzer"))
    assert len(analyze(inputs(GATEWAYS), Moment(), analyzers=both)) == 2


def test_worst_messages_come_first() -> None:
    codes = [code for code, _ in found(GATEWAYS)]
    levels = [MESSAGE_TYPES[code].level for code in codes]
    assert levels == sorted(levels)


def test_messages_of_one_namespace_and_of_what_is_in_none() -> None:
    origins = {origin for _, origin in found(GATEWAYS, namespace="b")}
    assert origins == {"Gateway b/two", "Namespace plain"}


@pytest.mark.parametrize("pattern", ["Gateway one.a", "Gateway *.a", "Gateway a/one", "*.a"])
def test_suppression_by_name(pattern: str) -> None:
    suppressed = found(GATEWAYS, "gateway.SecretAnalyzer", suppressions=[Suppression("IST0101", pattern)])
    assert suppressed == [("IST0101", "Gateway b/two")]


def test_suppression_is_of_one_code_and_its_characters_are_plain() -> None:
    assert len(found(GATEWAYS, "gateway.SecretAnalyzer", suppressions=[Suppression("IST0102", "*")])) == 2
    assert len(found(GATEWAYS, "gateway.SecretAnalyzer", suppressions=[Suppression("IST0101", "Gateway ?ne.[a]")])) == 2


def test_suppressions_are_read() -> None:
    assert parse_suppression("IST0101=Gateway *.a") == Suppression("IST0101", "Gateway *.a")
    assert parse_suppression("IST0101") is None
    assert parse_suppression("IST0101=a=b") is None


@pytest.mark.parametrize(("value", "left"), [("IST0101", 1), ("IST0102,IST0101", 1), ("*", 1), ("IST0102", 2)])
def test_suppression_by_annotation(value: str, left: int) -> None:
    annotated = GATEWAYS.replace(
        "namespace: a}", f"namespace: a, annotations: {{galley.istio.io/analyze-suppress: '{value}'}}}}"
    )
    assert len(found(annotated, "gateway.SecretAnalyzer")) == left


def test_an_analyzer_that_breaks_does_not_stop_the_others() -> None:
    def breaks(_: Inputs, __: Moment) -> Iterator[Message]:
        raise ValueError("oh")
        yield

    analyzers = (Analyzer("broken.Analyzer", "", breaks), *named(("gateway.SecretAnalyzer",)))
    messages = analyze(inputs(GATEWAYS), Moment(), analyzers=analyzers)
    assert [message.type.code for message in messages] == ["IST0001", "IST0101", "IST0101"]
    assert messages[0].text == "Internal error: broken.Analyzer: ValueError: oh"


def test_thresholds() -> None:
    messages = analyze(inputs(GATEWAYS), Moment())
    assert worst_reaches(messages, Level.ERROR)
    infos = [message for message in messages if message.type.level is Level.INFO]
    assert not worst_reaches(infos, Level.WARNING)
    assert {message.type.level for message in at_least(messages, Level.WARNING)} == {Level.ERROR}


def test_analyzers_have_istios_names() -> None:
    assert len({analyzer.name for analyzer in ANALYZERS}) == len(ANALYZERS)
    (by_alias,) = named(("multicluster.ServiceAnalyzer",))
    assert by_alias.name == "services.MultiClusterServiceAnalyzer"
    assert all(one.name.startswith("schema.") for one in named(("schema.ValidationAnalyzer",)))
    assert named(("no.such",)) == ANALYZERS
    assert named(()) == ANALYZERS


def test_every_code_is_one_of_istios() -> None:
    assert all(code == found.code for code, found in MESSAGE_TYPES.items())
    assert not CLUSTER_CHECKS & set(MESSAGE_TYPES)
    assert is_known("IST0141")
    assert not is_known("IST0104")


def test_the_later_of_two_objects_of_one_name_counts() -> None:
    files = load_yaml_documents(GATEWAYS.replace("app: edge", "app: other"), "f.yaml")
    live = load_yaml_documents(GATEWAYS, "live")
    both = Inputs([*resources_of(live, from_file=False), *resources_of(files)])
    assert [one.spec["selector"] for one in both.of(GATEWAY)] == [{"app": "other"}, {"app": "other"}]
    assert [one.file for one in both.of(GATEWAY)] == ["f.yaml", "f.yaml"]


def test_objects_without_a_namespace_are_shown_as_they_are_written() -> None:
    (gateway,) = resources_of(
        load_yaml_documents("{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g}}", "f"),
        default_namespace="default",
    )
    assert (gateway.friendly_name, gateway.full_name) == ("Gateway g", "default/g")


def test_services_of_several_clusters() -> None:
    def service(kind: str, cluster: str) -> list[Any]:
        text = f"""
apiVersion: v1
kind: Service
metadata: {{name: books, namespace: shop}}
spec: {{type: {kind}, ports: [{{name: http, port: 80}}]}}
"""
        return list(resources_of(load_yaml_documents(text, "f"), cluster=cluster))

    analyzers = named(("services.MultiClusterServiceAnalyzer",))
    same = Inputs([*service("ClusterIP", "east"), *service("ClusterIP", "west")])
    assert analyze(same, Moment(), analyzers=analyzers) == ()
    (message,) = analyze(
        Inputs([*service("ClusterIP", "east"), *service("NodePort", "west")]), Moment(), analyzers=analyzers
    )
    assert message.type.code == "IST0170"
    assert message.log_line(show_cluster=True).startswith("Warning [IST0170] [cluster-east] (Service shop/books")


def test_a_credential_is_valid_only_in_its_time() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cert", "namespace": "istio-system"}}
    body["stringData"] = {"cert": certificate.public_bytes(Encoding.PEM).decode(), "key": "key"}
    gateway = load_yaml_documents(
        """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: a}
spec:
  selector: {istio: ingressgateway}
  servers: [{tls: {credentialName: cert}}]
""",
        "f",
    )
    everything = Inputs([*default_objects({}), *resources_of([*gateway, Document("f", 1, body)])])
    analyzers = named(("gateway.SecretAnalyzer",))
    within = Moment((start + datetime.timedelta(days=1)).timestamp())
    after = Moment((start + datetime.timedelta(days=31)).timestamp())
    assert analyze(everything, within, analyzers=analyzers) == ()
    assert [message.type.code for message in analyze(everything, after, analyzers=analyzers)] == ["IST0161"]


def test_a_broken_document_does_not_take_the_others_with_it() -> None:
    text = "a: 1\n---\nb: [\n---\n- no object\n---\nkind: K\nmetadata: {name: n}\n"
    documents, problems = read_documents(text, "f")
    assert [(document.line, document.body) for document in documents] == [
        (1, {"a": 1}),
        (7, {"kind": "K", "metadata": {"name": "n"}}),
    ]
    assert [violation.line for violation in problems] == [4, 5]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("sidecar.istio.io/interceptionMode", "TPROXY", "tproxy"),
        ("status.sidecar.istio.io/port", "15020", "70000"),
        ("readiness.status.sidecar.istio.io/periodSeconds", "10", "-1"),
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "*", "10.0.0.0"),
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.0.0.0/8,::/0", "10.0.0.0/33"),
        ("traffic.sidecar.istio.io/includeInboundPorts", "80, 81", "80;81"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "", "*"),
        ("traffic.sidecar.istio.io/excludeInterfaces", "eth0,net1", "a/b"),
        ("prometheus.istio.io/merge-metrics", "True", "yes"),
        ("proxy.istio.io/config", "concurrency: 1", "[1"),
        ("sidecar.istio.io/proxyMemory", "128Mi", "128 Mi"),
    ],
)
def test_values_of_annotations(name: str, good: str, bad: str) -> None:
    assert CHECKS[name](good) == ""
    assert CHECKS[name](bad) != ""


KINDS_READ = [
    ("networking.istio.io/v1", kind)
    for kind in ("VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "WorkloadEntry")
] + [
    ("security.istio.io/v1", "AuthorizationPolicy"),
    ("telemetry.istio.io/v1", "Telemetry"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("apps/v1", "Deployment"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
]
FIELDS = st.sampled_from(
    [
        "spec",
        "hosts",
        "http",
        "route",
        "destination",
        "host",
        "port",
        "number",
        "selector",
        "matchLabels",
        "labels",
        "servers",
        "tls",
        "credentialName",
        "subsets",
        "ports",
        "name",
        "protocol",
        "webhooks",
        "data",
        "stringData",
        "metadata",
        "annotations",
        "mesh",
        "values",
        "template",
        "containers",
        "rules",
        "from",
        "source",
        "namespaces",
        "gateways",
        "match",
        "headers",
        "exportTo",
        "workloadSelector",
        "endpoints",
        "status",
        "conditions",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | FIELDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(KINDS_READ), st.dictionaries(FIELDS, VALUES, max_size=5)), max_size=5))
def test_no_document_whatever_breaks_an_analyzer(drawn: list[tuple[tuple[str, str], dict[str, Any]]]) -> None:
    documents = []
    for index, ((api_version, kind), body) in enumerate(drawn):
        metadata = body.get("metadata")
        named_body = {"name": f"n{index}", **(metadata if isinstance(metadata, dict) else {})}
        documents.append(Document("f", 1, {**body, "apiVersion": api_version, "kind": kind, "metadata": named_body}))
    messages = analyze(Inputs([*default_objects({}), *resources_of(documents)]), Moment())
    assert [message.text for message in messages if message.type.code == "IST0001"] == []
