"""What a caller is told of its own rights, and the protobuf in which kubectl asks."""

from __future__ import annotations

from typing import Any

import pytest
from galley.core.kube_api import protobuf_body
from galley.core.kube_api.reviews import answer
from galley.core.kube_api.status import StatusError


def allows(role: str, namespace: str | None) -> bool:
    """An editor of `shop`, nothing elsewhere."""
    return namespace == "shop" and role in ("viewer", "editor")


def asked(**attributes: str) -> Any:
    return answer("SelfSubjectAccessReview", {"spec": {"resourceAttributes": attributes}}, "ed", allows)


VS = {"group": "networking.istio.io", "resource": "virtualservices"}


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        ({**VS, "verb": "create", "namespace": "shop"}, True),
        ({**VS, "verb": "create", "namespace": "other"}, False),
        ({**VS, "verb": "list"}, False),
        ({**VS, "verb": "patch", "namespace": "shop", "name": "a", "subresource": "status"}, False),
        ({"resource": "namespaces", "verb": "get", "name": "shop"}, True),
        ({"resource": "namespaces", "verb": "delete", "name": "shop"}, False),
        ({"resource": "serviceaccounts", "verb": "create", "namespace": "shop", "subresource": "token"}, False),
        ({"resource": "deployments", "group": "apps", "verb": "get", "namespace": "shop"}, False),
        ({**VS, "verb": "escalate", "namespace": "shop"}, False),
        ({"resource": "*", "group": "*", "verb": "*", "namespace": "shop"}, False),
    ],
)
def test_one_thing(attributes: dict[str, str], allowed: bool) -> None:
    found = asked(**attributes)
    assert found["allowed"] is allowed
    assert bool(found.get("reason")) is not allowed


def test_rules_of_a_namespace() -> None:
    found = answer("SelfSubjectRulesReview", {"spec": {"namespace": "shop"}}, "ed", allows)
    rules = {rule["apiGroups"][0]: rule for rule in found["resourceRules"]}
    assert "virtualservices" in rules["networking.istio.io"]["resources"]
    assert "create" in rules["networking.istio.io"]["verbs"]
    assert "namespaces" not in rules[""]["resources"]
    assert "serviceaccounts/token" not in rules[""]["resources"]
    elsewhere = answer("SelfSubjectRulesReview", {"spec": {"namespace": "other"}}, "ed", allows)
    assert elsewhere["resourceRules"] == []


@pytest.mark.parametrize("spec", [None, {}, {"resourceAttributes": 1}, {"resourceAttributes": {"verb": 1}}])
def test_a_question_without_sense_is_refused(spec: Any) -> None:
    with pytest.raises(StatusError) as caught:
        answer("SelfSubjectAccessReview", {"spec": spec}, "ed", allows)
    assert caught.value.http == 400


def test_protobuf_of_kubectl() -> None:
    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    attributes = field(1, b"shop") + field(2, b"get") + field(3, b"networking.istio.io") + field(5, b"virtualservices")
    review = field(1, b"") + field(2, field(1, attributes))
    kind = field(1, b"authorization.k8s.io/v1") + field(2, b"SelfSubjectAccessReview")
    found = protobuf_body.decode_body(b"k8s\x00" + field(1, kind) + field(2, review))
    assert found["spec"]["resourceAttributes"] == {"namespace": "shop", "verb": "get", **VS}
