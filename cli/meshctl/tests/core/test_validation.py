from typing import Any

from meshcore.model.load import load_yaml_documents
from meshctl.core.validation import validate_documents

GOOD = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: n}
spec:
  hosts: [a]
  http:
  - route:
    - destination: {host: a}
"""


def entries(text: str) -> list[dict[str, Any]]:
    return [verdict.entry() for verdict in validate_documents(load_yaml_documents(text, "f.yaml"))]


def test_a_valid_object() -> None:
    (entry,) = entries(GOOD)
    assert entry == {
        "file": "f.yaml",
        "kind": "VirtualService",
        "namespace": "n",
        "name": "a",
        "valid": True,
        "errors": [],
        "warnings": [],
    }


def test_every_violation_has_its_line() -> None:
    (entry,) = entries(
        GOOD.replace("hosts: [a]", "hosts: [a]\n  htpp: 1").replace("host: a}", "host: a}\n      weight: -1")
    )
    assert not entry["valid"]
    assert any(error.startswith("line 7: spec.htpp: unknown field") for error in entry["errors"])
    assert any("weight" in error for error in entry["errors"])


def test_one_bad_document_does_not_hide_the_others() -> None:
    found = entries(GOOD + "---\nkind: Nonsense\napiVersion: networking.istio.io/v1\n---\n- 1\n---" + GOOD)
    assert [entry["valid"] for entry in found] == [True, False, False, True]


def test_other_peoples_kinds_are_not_checked() -> None:
    (entry,) = entries("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n")
    assert entry["valid"]
    assert "not a kind of the mesh" in entry["warnings"][0]


def test_what_describes_an_installation_is_not_ours_to_check():
    operator = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {profile: demo}\n"
    (found,) = entries(operator)
    assert found["valid"]
    assert "not checked" in found["warnings"][0]


def test_a_kind_that_is_no_text_is_not_somebody_elses() -> None:
    (found,) = entries("apiVersion: 1\nkind: [2]\nmetadata: {name: a}\n")
    assert found["errors"] == [
        "line 1: apiVersion: 1 is a int (expected a text)",
        "line 2: kind: [2] is a list (expected a text)",
    ]
