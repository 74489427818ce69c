from typing import Any

import pytest
from meshcore.errors import MeshError
from meshcore.model.load import load_yaml_documents
from meshctl.core.documents import named_object, named_objects

HEAD = "apiVersion: v1\nkind: Namespace\n"


def object_of(text: str) -> dict[str, Any]:
    (document,) = load_yaml_documents(text, "f.yaml")
    return named_object(document)


def test_an_object_is_its_body() -> None:
    assert object_of(f"{HEAD}metadata: {{name: a}}\n")["metadata"] == {"name": "a"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]\n", "f.yaml:1: is not an object"),
        (f"{HEAD}metadata: foo\n", "f.yaml:3: metadata: 'foo' is a str (expected a mapping with a name)"),
        (HEAD, "f.yaml:1: metadata: is missing (expected a mapping with a name)"),
        (f"{HEAD}metadata: {{}}\n", "f.yaml:3: metadata.name: is missing"),
        (f"{HEAD}metadata:\n  name: {{a: b}}\n", "f.yaml:4: metadata.name: {'a': 'b'} is a dict"),
        (f"{HEAD}metadata:\n  name: a\n  namespace: 3\n", "f.yaml:5: metadata.namespace: 3 is a int"),
        ("apiVersion: v1\nkind: [2]\nmetadata: {name: a}\n", "f.yaml:2: kind: [2] is a list (expected a text)"),
        ("kind: Namespace\nmetadata: {name: a}\n", "f.yaml:1: apiVersion: is missing"),
    ],
)
def test_what_is_wrong_and_where(text: str, expected: str) -> None:
    with pytest.raises(MeshError) as caught:
        object_of(text)
    assert str(caught.value.violations[0]).startswith(expected)


def test_all_documents_are_looked_at() -> None:
    documents = load_yaml_documents(f"- 1\n---\n{HEAD}metadata: {{name: a}}\n---\n{HEAD}metadata: {{}}\n", "f.yaml")
    with pytest.raises(MeshError) as caught:
        named_objects(documents)
    assert [violation.line for violation in caught.value.violations] == [1, 9]
    assert named_objects(documents[1:2]) == [documents[1].body]
