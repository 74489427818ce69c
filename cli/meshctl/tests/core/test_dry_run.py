"""The change set of a dry run, and how its answer reads."""

import pytest
from meshcore.errors import MeshError
from meshcore.model.load import load_yaml_documents
from meshctl.core.dry_run import change_set, outcome_lines, violation_lines, warning_lines

TEXT = """apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - route: [{destination: {host: b}, weight: -1}]
"""


def test_objects_get_the_namespace_that_they_lack() -> None:
    request = change_set(load_yaml_documents(TEXT, "a.yaml"), "shop")
    assert request["dry_run"]
    assert [change["object"]["metadata"] for change in request["changes"]] == [
        {"name": "shop"},
        {"name": "a", "namespace": "shop"},
    ]


def test_what_is_no_known_object_is_named_with_its_line() -> None:
    text = f"{TEXT}---\napiVersion: v7\nkind: Nothing\nmetadata: {{name: x}}\n"
    with pytest.raises(MeshError) as caught:
        change_set(load_yaml_documents(text, "a.yaml"), "shop")
    (violation,) = caught.value.violations
    assert (violation.file, violation.line) == ("a.yaml", 14)


def test_violations_say_where_they_stand() -> None:
    violation = {"field": "changes[1].object.spec.http[0].route[0].weight", "message": "too small"}
    answer = {"violations": [violation, {"field": "changes", "message": "too many"}]}
    documents = load_yaml_documents(TEXT, "a.yaml")
    assert list(violation_lines(answer, documents)) == [
        "a.yaml:11: spec.http[0].route[0].weight: too small",
        "changes: too many",
    ]


def test_findings_come_with_their_fixes() -> None:
    finding = {"code": "IST0101", "level": "Error", "origin": "VirtualService shop/a", "message": "gone"}
    patch = [{"op": "remove", "path": "/spec"}]
    what_if = {"findings": [finding | {"fix": {"description": "Do it.", "patch": patch}}], "resolved": [finding]}
    line = "Error [IST0101] (VirtualService shop/a) gone"
    assert list(warning_lines({"warnings": ["deprecated"], "what_if": what_if})) == [
        "Warning: deprecated",
        line,
        "  fix: Do it.",
        '  patch: [{"op": "remove", "path": "/spec"}]',
        f"Resolved: {line}",
    ]


def test_what_changes_is_told_from_what_does_not() -> None:
    key = {"group": "networking.istio.io", "plural": "virtualservices", "name": "a"}
    core = {"group": "", "plural": "services", "name": "b"}
    objects = [{"key": key, "resource_version": "7"}, {"key": core, "resource_version": "3"}]
    assert list(outcome_lines({"revision": 7, "objects": objects})) == [
        "virtualservices.networking.istio.io/a applied (dry run)",
        "services/b unchanged (dry run)",
    ]
