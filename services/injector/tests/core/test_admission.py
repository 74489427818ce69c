import base64
import json

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from injector.core.admission import answer, parse_review
from injector.core.config import InjectionConfig
from meshcore.errors import MeshError

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "front-", "labels": {"app": "front"}},
    "spec": {"containers": [{"name": "app", "image": "front:1"}]},
}


def review(pod=None, version="admission.k8s.io/v1", namespace="shop", **request):
    question = {
        "uid": "1234",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": namespace,
        "operation": "CREATE",
        "object": POD if pod is None else pod,
        **request,
    }
    return json.dumps({"apiVersion": version, "kind": "AdmissionReview", "request": question}).encode()


def patched(outcome, pod):
    operations = json.loads(base64.b64decode(outcome.review["response"]["patch"]))
    return jsonpatch.JsonPatch(operations).apply(pod)


@pytest.mark.parametrize("version", ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"])
def test_the_answer_has_the_version_and_uid_of_the_question(version):
    outcome = answer(parse_review(review(version=version)), InjectionConfig())
    assert outcome.review["apiVersion"] == version
    response = outcome.review["response"]
    assert (response["uid"], response["allowed"], response["patchType"]) == ("1234", True, "JSONPatch")
    assert [c["name"] for c in patched(outcome, POD)["spec"]["containers"]] == ["app", "istio-proxy"]


def test_a_pod_that_has_its_sidecar_needs_no_patch():
    once = patched(answer(parse_review(review()), InjectionConfig()), POD)
    again = answer(parse_review(review(once)), InjectionConfig())
    assert again.result == "injected"
    assert "patch" not in again.review["response"]


def test_a_pod_that_stays_out_is_allowed_without_a_patch():
    outcome = answer(parse_review(review(namespace="kube-system")), InjectionConfig())
    assert outcome.result == "skipped"
    assert outcome.review["response"] == {"uid": "1234", "allowed": True}


def test_anything_but_a_pod_is_allowed():
    body = review(kind={"group": "apps", "version": "v1", "kind": "Deployment"}, pod={"spec": {}})
    assert answer(parse_review(body), InjectionConfig()).review["response"]["allowed"] is True


def test_a_pod_with_a_bad_annotation_is_refused_with_the_reason():
    pod = {**POD, "metadata": {"annotations": {"sidecar.istio.io/interceptionMode": "SOMETIMES"}}}
    outcome = answer(parse_review(review(pod)), InjectionConfig())
    response = outcome.review["response"]
    assert response["allowed"] is False
    assert response["status"]["code"] == 422
    assert "sidecar.istio.io/interceptionMode" in response["status"]["message"]
    assert outcome.result == "refused"


def test_a_pod_that_is_nested_too_deeply_is_refused_in_words():
    pod = {**POD, "spec": {**POD["spec"], "x": json.loads("[" * 900 + "]" * 900)}}
    outcome = answer(parse_review(review(pod)), InjectionConfig())
    assert outcome.review["response"]["status"]["message"] == "the pod is nested too deeply"


def test_network_and_cluster_of_the_path_reach_the_pod():
    outcome = answer(parse_review(review()), InjectionConfig(), network="net-9", cluster_id="west")
    pod = patched(outcome, POD)
    assert pod["metadata"]["labels"]["topology.istio.io/network"] == "net-9"
    env = {item["name"]: item.get("value") for item in pod["spec"]["containers"][1]["env"]}
    assert (env["ISTIO_META_NETWORK"], env["ISTIO_META_CLUSTER_ID"]) == ("net-9", "west")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"kind": "AdmissionReview"}',
        b"[" * 100_000,
        review(version="admission.k8s.io/v2"),
        review(uid=""),
        review(uid=5),
        review({"spec": "x"}),
        review({"spec": {"containers": [{"image": "no name"}]}}),
        review({"spec": {"containers": {"name": "x"}}}),
        review({"spec": {}, "metadata": {"annotations": {"a": 1}}}),
        review({"spec": {}, "metadata": {"labels": ["a"]}}),
        review({"spec": {"volumes": [5]}}),
        review({"spec": {"containers": [{"name": "a", "ports": 5}]}}),
        review({"spec": {"volumes": [{"name": str(number)} for number in range(20_000)]}}),
        b"\xff\xfe",
    ],
)
def test_what_is_not_a_review_of_a_pod_is_refused(body):
    with pytest.raises(MeshError):
        parse_review(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "metadata", "spec", "labels", "containers", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(json_values, json_values)
def test_any_object_is_answered_or_refused_in_words(metadata, spec):
    body = review({"metadata": metadata, "spec": spec})
    try:
        question = parse_review(body)
    except MeshError:
        return
    assert answer(question, InjectionConfig()).review["response"]["uid"] == "1234"
