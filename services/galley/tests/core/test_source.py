"""What a source's documents and states mean."""

from datetime import UTC, datetime
from typing import Any

import pytest
from galley.core.source import SourceState, key_of, marked, origin_of, read_documents, surplus
from galley.core.storage import StoredObject
from meshcore.distribution.keys import Key
from meshcore.errors import MeshError

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"


def stored(name: str, mark: str | None = None, plural: str = "configmaps") -> StoredObject:
    document: dict[str, Any] = {"metadata": {"name": name}}
    if mark is not None:
        document = marked(document, *mark.split(":"))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return StoredObject(Key("", plural, "default", name), document, None, "uid", 1, now, 1, 1)


def test_one_broken_document_leaves_the_others_of_its_file() -> None:
    text = GOOD.replace("NAME", "a") + "---\na: [\n--- \n" + GOOD.replace("NAME", "b")
    objects, faults = read_documents(text, "x.yaml")
    assert [(item.document["metadata"]["name"], item.line) for item in objects] == [("a", 1), ("b", 7)]
    assert [fault.origin for fault in faults] == ["x.yaml"]
    assert faults[0].line in (5, 6, 7)


@pytest.mark.parametrize("text", ["{", "a: [", "\t- x"])
def test_a_file_that_is_broken_is_one_fault(text: str) -> None:
    objects, faults = read_documents(text, "x.yaml")
    assert (objects, len(faults)) == ([], 1)


def test_a_namespace_that_is_not_said_is_the_default_one() -> None:
    assert key_of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})[1].namespace == "default"


@pytest.mark.parametrize("document", [[], "x", {}, {"metadata": {"name": 3}}, {"metadata": {"name": "a"}, "kind": "X"}])
def test_what_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(MeshError):
        key_of(document)


def test_the_mark_names_source_and_origin() -> None:
    assert origin_of(stored("a", "files:x.yaml"), "files") == "x.yaml"
    assert origin_of(stored("a", "files:x.yaml"), "kubernetes") is None
    assert origin_of(stored("a"), "files") is None


def test_only_what_the_source_wrote_and_could_read_goes() -> None:
    present = [
        stored("kept", "files:a.yaml"),
        stored("gone", "files:a.yaml"),
        stored("unreadable", "files:b.yaml"),
        stored("other", "kubernetes:"),
        stored("by-hand"),
    ]
    state = SourceState((), None, frozenset({"b.yaml"}))
    gone = surplus(state, [present[0].key], present, "files")
    assert [key.name for key in gone] == ["gone"]
    narrow = SourceState((), frozenset({("networking.istio.io", "gateways")}))
    assert surplus(narrow, [], present, "files") == []


def test_namespaces_go_last() -> None:
    present = [stored("a", "files:a", "namespaces"), stored("z", "files:a")]
    assert [key.name for key in surplus(SourceState(()), [], present, "files")] == ["z", "a"]
