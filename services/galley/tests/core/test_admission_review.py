import json

import pytest
from galley.core.admission_review import LONGEST_MESSAGE, decide, parse_review, unreadable
from galley.core.kind_rules import Naming
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.errors import MeshError

SERVICE_ENTRY = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "ServiceEntry",
    "metadata": {"name": "out", "namespace": "shop"},
    "spec": {
        "hosts": ["api.example.com"],
        "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}],
        "resolution": "DNS",
    },
}


def with_spec(**spec):
    return {**SERVICE_ENTRY, "spec": {**SERVICE_ENTRY["spec"], **spec}}


def review(document=SERVICE_ENTRY, api_version="admission.k8s.io/v1", **request):
    asked = {"uid": "u-1", "operation": "CREATE", "namespace": "shop", "object": document, **request}
    return json.dumps({"apiVersion": api_version, "kind": "AdmissionReview", "request": asked}).encode()


def verdict(document=SERVICE_ENTRY, *, mixer=None, **request):
    return decide(parse_review(review(document, **request)), Naming(), mixer=mixer)


@pytest.mark.parametrize("version", ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"])
def test_the_answer_mirrors_version_and_uid(version):
    answer = verdict(api_version=version).review
    assert answer == {
        "apiVersion": version,
        "kind": "AdmissionReview",
        "response": {"uid": "u-1", "allowed": True},
    }


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_every_served_version_is_counted_as_it_came(version):
    passed = verdict({**SERVICE_ENTRY, "apiVersion": f"networking.istio.io/{version}"})
    assert (passed.allowed, passed.reason) == (True, "")
    assert (passed.group, passed.version, passed.resource) == ("networking.istio.io", version, "serviceentries")


def test_every_violation_is_told():
    refused = verdict(with_spec(hosts=[], ports=[{"number": 70000, "name": "", "protocol": "TLS"}]))
    assert not refused.allowed
    assert refused.reason == "invalid_resource"
    message = refused.review["response"]["status"]["message"]
    assert message.startswith("configuration is invalid: ")
    assert "spec.hosts" in message
    assert "spec.ports[0]" in message
    assert "code" not in refused.review["response"]["status"]


def test_warnings_go_back_with_the_permission():
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"host": "a", "trafficPolicy": {"outlierDetection": {"consecutiveErrors": 3}}},
    }
    answer = verdict(rule).review["response"]
    assert answer["allowed"] is True
    assert any("consecutiveErrors" in warning for warning in answer["warnings"])


@pytest.mark.parametrize(
    ("document", "reason", "begin"),
    [
        (None, "yaml_decode_error", "cannot decode configuration: "),
        ({**SERVICE_ENTRY, "metadata": []}, "yaml_decode_error", "cannot decode configuration: "),
        ({**SERVICE_ENTRY, "kind": "ServiceEntrance"}, "unknown_resource", "unrecognized type "),
        ({**SERVICE_ENTRY, "apiVersion": 5}, "unknown_resource", "unrecognized type "),
        ({"apiVersion": "v1", "kind": "Service", "metadata": {}}, "unknown_resource", "unrecognized type "),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "spec": {}}, "invalid_resource", "unknown field"),
        ({**SERVICE_ENTRY, "specs": {}}, "invalid_resource", 'unknown field "specs"'),
        (with_spec(hosts="api.example.com"), "crd_conversion_error", "error decoding configuration: "),
    ],
)
def test_what_is_refused_and_how_the_message_begins(document, reason, begin):
    refused = verdict(document)
    assert not refused.allowed
    assert refused.reason == reason
    assert refused.review["response"]["status"]["message"].startswith(begin)


def test_unknown_fields_inside_the_spec_are_the_api_servers_business():
    assert verdict(with_spec(newerField={"a": 1})).allowed


def mesh_config(text, name="istio"):
    metadata = {"name": name, "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": text}}


def test_the_mesh_config_is_judged_in_its_config_map_and_nowhere_else():
    assert verdict(mesh_config("trustDomain: mesh.example")).allowed
    refused = verdict(mesh_config("connectTimeout: soon"))
    assert (refused.allowed, refused.resource) == (False, "configmaps")
    assert "data.mesh: connectTimeout" in refused.review["response"]["status"]["message"]
    assert verdict(mesh_config("connectTimeout: soon", name="somebody-elses")).allowed


@pytest.mark.parametrize("operation", ["DELETE", "CONNECT", ""])
def test_other_operations_are_allowed_without_a_look(operation):
    asked = verdict(None, operation=operation)
    assert asked.allowed
    assert asked.reason == "unsupported_operation"


def test_a_dry_run_gets_the_same_verdict_and_is_not_counted():
    refused = verdict(with_spec(hosts=[]), dryRun=True)
    assert not refused.allowed
    assert not refused.counted
    assert verdict(with_spec(hosts=[])).counted


def test_each_old_path_knows_its_own_kinds_only():
    assert verdict(mixer=False).allowed
    assert verdict(mixer=True).reason == "unknown_resource"


def test_the_namespace_of_the_request_is_the_objects():
    document = {**SERVICE_ENTRY, "metadata": {"name": "out"}}
    assert verdict(document).allowed


def test_a_refusal_fits_a_terminal():
    ports = [{"number": 70000 + index, "name": "a", "protocol": "TLS"} for index in range(3000)]
    message = verdict(with_spec(ports=ports)).review["response"]["status"]["message"]
    assert len(message) <= LONGEST_MESSAGE + 10


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"kind":"AdmissionReview"}', review(api_version="v9"), b"\xff", b"[" * 100_000]
)
def test_what_is_no_review_is_not_allowed(body):
    with pytest.raises(MeshError) as caught:
        parse_review(body)
    answer = unreadable(caught.value).review
    assert answer["response"]["allowed"] is False
    assert answer["response"]["status"]["message"]


def test_a_nest_is_refused_in_words():
    nest = "[" * 5000 + "]" * 5000
    body = review().replace(b'"DNS"', nest.encode())
    try:
        question = parse_review(body)
    except MeshError:
        return
    assert not decide(question, Naming()).allowed


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.sampled_from(["hosts", "ports", "endpoints", "location", "workloadSelector"]), values)
def test_no_document_whatever_crashes_it(field, value):
    decided = verdict(with_spec(**{field: value}))
    assert decided.review["response"]["uid"] == "u-1"


def test_mixers_kinds_pass_on_mixers_path_alone():
    document = {
        "apiVersion": "config.istio.io/v1alpha2",
        "kind": "rule",
        "metadata": {"name": "all", "namespace": "shop"},
        "spec": {"actions": [{"handler": "log", "instances": ["entry"]}]},
    }
    assert [verdict(document, mixer=mixer).allowed for mixer in (None, True, False)] == [True, True, False]
