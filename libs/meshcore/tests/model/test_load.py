from datetime import timedelta

import pytest
import yaml
from meshcore.errors import ErrorCode, MeshError
from meshcore.model import MeshConfig, Service, VirtualService, parse_mesh_config
from meshcore.model.kinds import KINDS, by_kind
from meshcore.model.load import dump_object, load_yaml_documents, parse_object, parse_with_unknown_fields

VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  namespace: shop
spec:
  hosts: [reviews]
  http:
  - match:
    - headers:
        end-user: {exact: jason}
      uri: {prefix: /api}
    timeout: 1.5s
    route:
    - destination: {host: reviews, subset: v2, port: {number: 9080}}
      weight: 90
    - destination: {host: reviews, subset: v3}
      weight: 10
"""


BOMB = "a: &a [{}]\nb: &b [{}]\nc: &c [{}]\nd: [{}]\n".format("x," * 50, "*a," * 50, "*b," * 50, "*c," * 50)


def document(text: str) -> dict:
    return yaml.safe_load(text)


@pytest.mark.parametrize(("levels", "refused"), [(96, False), (97, True), (5_000, True)])
def test_what_is_nested_too_deeply_is_refused_by_the_name_of_its_field(levels, refused):
    deep = []
    for _ in range(levels - 1):
        deep = [deep]
    body = document(VIRTUAL_SERVICE)
    body["spec"]["http"][0]["unknown"] = deep
    if not refused:
        assert parse_with_unknown_fields(body)[1] == ("spec.http[0].unknown",)
        return
    with pytest.raises(MeshError) as caught:
        parse_object(body, strict=False)
    assert caught.value.code is ErrorCode.INVALID
    (violation,) = caught.value.violations
    assert (violation.field, violation.message) == ("spec.http[0].unknown", "nested more than 100 levels deep")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("inf"), "inf is no number of JSON"),
        (float("nan"), "nan is no number of JSON"),
        (2**64, "a whole number of more than 64 bits"),
        (-(2**63) - 1, "a whole number of more than 64 bits"),
        (16**5000, "a whole number of more than 64 bits"),
        ("\ud800", "the text '\\ud800' is not Unicode"),
        ({"\ud800": 1}, "the text '\\ud800' is not Unicode"),
    ],
    ids=[
        "infinity",
        "no number",
        "65 bits",
        "too far below zero",
        "no end",
        "half a character",
        "half a character as key",
    ],
)
def test_what_nothing_could_store_or_send_is_refused_by_the_name_of_its_field(value, message):
    body = document(VIRTUAL_SERVICE)
    body["spec"]["http"][0]["unknown"] = [1, -(2**63), 2**64 - 1, "ü", 1.5, True, value]
    with pytest.raises(MeshError) as caught:
        parse_object(body, strict=False)
    assert caught.value.code is ErrorCode.INVALID
    (violation,) = caught.value.violations
    assert (violation.field, violation.message) == ("spec.http[0].unknown[6]", message)


def test_a_virtual_service_reads_into_typed_attributes():
    parsed = parse_object(document(VIRTUAL_SERVICE))
    assert isinstance(parsed, VirtualService)
    route = parsed.spec.http[0]
    assert route.timeout == timedelta(seconds=1.5)
    assert route.match[0].headers["end-user"].exact == "jason"
    assert [(part.destination.subset, part.weight) for part in route.route] == [("v2", 90), ("v3", 10)]


def test_what_is_dumped_reads_back_equal():
    parsed = parse_object(document(VIRTUAL_SERVICE))
    assert parse_object(dump_object(parsed)) == parsed
    assert dump_object(parsed)["spec"]["http"][0]["timeout"] == "1.5s"


def test_an_empty_message_is_not_an_absent_one():
    body = document(VIRTUAL_SERVICE)
    body["spec"]["http"][0]["retries"] = {}
    parsed = parse_object(body)
    assert parsed.spec.http[0].retries is not None
    assert dump_object(parsed)["spec"]["http"][0]["retries"] == {}


def test_all_violations_come_at_once_with_their_paths():
    body = document(VIRTUAL_SERVICE)
    body["spec"]["http"][0]["timeout"] = "soon"
    body["spec"]["http"][0]["route"][0]["weight"] = "90"
    body["spec"]["http"][0]["match"][0]["uri"] = {"exact": "/a", "prefix": "/b"}
    body["spec"]["bogus"] = 1
    with pytest.raises(MeshError) as caught:
        parse_object(body)
    assert caught.value.code is ErrorCode.INVALID
    found = {violation.field: violation for violation in caught.value.violations}
    assert set(found) == {
        "spec.http[0].timeout",
        "spec.http[0].route[0].weight",
        "spec.http[0].match[0].uri",
        "spec.bogus",
    }
    assert found["spec.http[0].route[0].weight"].expected == "a whole number"
    assert found["spec.bogus"].message == "unknown field"


def test_unknown_fields_can_be_dropped_and_are_listed():
    body = document(VIRTUAL_SERVICE)
    body["spec"]["http"][0]["bogus"] = {"deep": 1}
    parsed, unknown = parse_with_unknown_fields(body)
    assert unknown == ("spec.http[0].bogus",)
    assert parsed == parse_object(document(VIRTUAL_SERVICE))


def test_snake_case_names_are_unknown_fields():
    body = document(VIRTUAL_SERVICE)
    body["spec"]["export_to"] = ["."]
    with pytest.raises(MeshError, match="unknown field"):
        parse_object(body)


def test_null_means_absent():
    body = document(VIRTUAL_SERVICE)
    body["metadata"]["creationTimestamp"] = None
    body["spec"]["exportTo"] = None
    assert parse_object(body) == parse_object(document(VIRTUAL_SERVICE))


def test_an_unknown_version_names_the_ones_that_are_served():
    with pytest.raises(MeshError, match=r"networking.istio.io/v1alpha3, networking.istio.io/v1beta1"):
        by_kind("networking.istio.io/v9", "VirtualService")


def test_a_kind_of_the_past_is_refused_with_the_name_of_its_successor():
    for kind, successor in (("RouteRule", "VirtualService"), ("EgressRule", "ServiceEntry")):
        with pytest.raises(MeshError, match=successor):
            by_kind("config.istio.io/v1alpha2", kind)


@pytest.mark.parametrize("info", KINDS, ids=lambda info: info.kind)
def test_every_kind_is_found_in_every_version(info):
    for version in info.versions:
        assert by_kind(info.api_version_of(version), info.kind) is info


def test_a_service_keeps_the_acronyms_of_kubernetes():
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "targetPort": "web"}]},
    }
    parsed = parse_object(body)
    assert isinstance(parsed, Service)
    assert parsed.spec.cluster_ip == "10.0.0.1"
    assert parsed.spec.ports[0].target_port == "web"
    assert dump_object(parsed) == body


def test_mesh_config_has_the_defaults_of_istio():
    assert parse_mesh_config("") == MeshConfig()
    parsed = parse_mesh_config("proxyHttpPort: 15002\nmeshMTLS: {minProtocolVersion: TLSV1_3}\nsomethingElse: 1\n")
    assert parsed.proxy_http_port == 15002
    assert parsed.mesh_mtls.min_protocol_version == "TLSV1_3"
    assert parsed.connect_timeout == timedelta(seconds=10)
    assert parsed.enable_auto_mtls is True


def test_a_wrong_mesh_config_names_the_field():
    with pytest.raises(MeshError) as caught:
        parse_mesh_config("connectTimeout: fast\n")
    assert caught.value.violations[0].field == "connectTimeout"


def test_documents_know_their_lines():
    first, second = load_yaml_documents(VIRTUAL_SERVICE + "---\n" + VIRTUAL_SERVICE, "a.yaml")
    assert first.line_of("spec.http[0].route[1].weight") == 19
    assert second.line_of("spec.http[0].timeout") == first.line_of("spec.http[0].timeout") + second.line - first.line
    assert first.line_of("spec.http[0].match[0].headers[end-user]") == 12
    assert first.line_of("spec.http[7].nowhere") == 9


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2\n", "twice"),
        ("a: [1\n", "expected"),
        (BOMB, "too large"),
        ("[" * 200 + "]" * 200, "nested"),
        ("a: \x01", "not YAML"),
    ],
    ids=["duplicate key", "syntax", "bomb", "depth", "control character"],
)
def test_bad_yaml_is_refused_with_its_file(text, problem):
    with pytest.raises(MeshError, match=problem) as caught:
        load_yaml_documents(text, "bad.yaml")
    assert "bad.yaml" in str(caught.value)


def test_lists_are_unpacked():
    text = "apiVersion: v1\nkind: List\nitems:\n- {kind: A}\n- {kind: B}\n"
    assert [(item.body["kind"], item.line) for item in load_yaml_documents(text, "l.yaml")] == [("A", 4), ("B", 5)]


def test_an_unquoted_address_that_ends_in_colons_is_text():
    text = "addresses:\n- 2001:db8::\n- 10.0.0.1\nkey:\nmap: {}\n"
    (document,) = load_yaml_documents(text, "a.yaml")
    assert document.body == {
        "addresses": ["2001:db8::", "10.0.0.1"],
        "key": None,
        "map": {},
    }


def test_a_list_is_not_too_short_because_its_items_are_wrong():
    body = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "ListenerSet",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"parentRef": {"name": "edge"}, "listeners": [{"name": "x", "port": 80, "protocol": "HTTP", "odd": 1}]},
    }
    parsed, unknown = parse_with_unknown_fields(body)
    assert unknown == ("spec.listeners[0].odd",)
    assert parsed.spec.listeners[0].port == 80


@pytest.mark.parametrize(
    ("spec", "message", "expected"),
    [
        ({"parentRef": {"name": "edge"}, "listeners": []}, "no items", "at least 1 item"),
        (
            {"parentRef": {"name": ""}, "listeners": [{"name": "x", "port": 80, "protocol": "HTTP"}]},
            "no characters",
            "at",
        ),
        (
            {"parentRef": {"name": "a", "kind": "-"}, "listeners": [{"name": "x", "port": 80, "protocol": "HTTP"}]},
            "'-'",
            "m",
        ),
    ],
)
def test_limits_are_told_in_words(spec, message, expected):
    body = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "ListenerSet",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": spec,
    }
    with pytest.raises(MeshError) as refused:
        parse_object(body)
    (violation,) = refused.value.violations
    assert violation.message.startswith(message)
    assert violation.expected.startswith(expected)
