import pytest
from injector.core.decision import InjectionPolicy, PodSelector, SelectorRequirement, injection_required

ENABLED, DISABLED = InjectionPolicy.ENABLED, InjectionPolicy.DISABLED


def pod(labels=None, annotations=None, **spec):
    return {"metadata": {"labels": labels or {}, "annotations": annotations or {}}, "spec": spec}


def selector(key, operator="Exists", *values):
    return PodSelector((SelectorRequirement(key, operator, frozenset(values)),))


@pytest.mark.parametrize(
    ("policy", "labels", "annotations", "expected"),
    [
        (ENABLED, {}, {}, True),
        (DISABLED, {}, {}, False),
        (DISABLED, {"sidecar.istio.io/inject": "true"}, {}, True),
        (ENABLED, {"sidecar.istio.io/inject": "false"}, {}, False),
        (ENABLED, {}, {"sidecar.istio.io/inject": "false"}, False),
        (DISABLED, {}, {"sidecar.istio.io/inject": "true"}, True),
        (ENABLED, {"sidecar.istio.io/inject": "false"}, {"sidecar.istio.io/inject": "true"}, False),
        (DISABLED, {"sidecar.istio.io/inject": "true"}, {"sidecar.istio.io/inject": "false"}, True),
        (ENABLED, {"sidecar.istio.io/inject": "no"}, {}, True),
        (DISABLED, {"sidecar.istio.io/inject": "True"}, {}, False),
        (DISABLED, {"sidecar.istio.io/inject": ""}, {"sidecar.istio.io/inject": "true"}, False),
    ],
)
def test_the_label_wins_over_the_annotation_and_only_true_and_false_count(policy, labels, annotations, expected):
    assert injection_required(pod(labels, annotations), "shop", policy=policy).inject is expected


def test_a_pod_on_the_host_network_is_never_injected():
    decision = injection_required(pod({"sidecar.istio.io/inject": "true"}, hostNetwork=True), "shop")
    assert not decision.inject
    assert "host" in decision.reason


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"])
def test_namespaces_of_the_cluster_itself_are_left_alone(namespace):
    assert not injection_required(pod({"sidecar.istio.io/inject": "true"}), namespace).inject


def test_a_namespace_that_opted_out_is_left_alone_even_when_the_webhook_is_asked():
    asked = pod({"sidecar.istio.io/inject": "true"})
    assert not injection_required(asked, "shop", namespace_labels={"istio-injection": "disabled"}).inject
    assert injection_required(asked, "shop", namespace_labels={"istio-injection": "enabled"}).inject


def test_never_is_asked_before_always_and_both_before_the_policy():
    both = pod({"batch": "yes", "legacy": "yes"})
    always, never = [selector("batch")], [selector("legacy")]
    assert not injection_required(both, "shop", policy=ENABLED, always=always, never=never).inject
    assert injection_required(both, "shop", policy=DISABLED, always=always).inject
    assert not injection_required(both, "shop", policy=ENABLED, never=never).inject


def test_the_pods_own_wish_is_asked_before_the_selectors():
    wish = pod({"legacy": "yes"}, {"sidecar.istio.io/inject": "true"})
    assert injection_required(wish, "shop", never=[selector("legacy")]).inject


@pytest.mark.parametrize(
    ("operator", "values", "labels", "expected"),
    [
        ("In", ("a", "b"), {"tier": "a"}, True),
        ("In", ("a",), {}, False),
        ("NotIn", ("a",), {"tier": "a"}, False),
        ("NotIn", ("a",), {}, True),
        ("Exists", (), {"tier": ""}, True),
        ("DoesNotExist", (), {"tier": ""}, False),
        ("DoesNotExist", (), {}, True),
    ],
)
def test_selector_operators_mean_what_kubernetes_means(operator, values, labels, expected):
    assert selector("tier", operator, *values).matches(labels) is expected


def test_an_empty_selector_matches_nothing():
    assert not PodSelector().matches({"app": "front"})
