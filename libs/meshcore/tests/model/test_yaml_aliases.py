"""Aliases that would never end: refused when read, not found out by whoever walks the document."""

import pytest
from meshcore.errors import ErrorCode, MeshError
from meshcore.model.load import load_yaml_documents


@pytest.mark.parametrize("text", ["a: 1\nspec: &a {x: *a}\n", "&a [*a]\n", "a: &a\n- b: &b {c: [*a]}\n  d: *b\n"])
def test_an_alias_inside_itself_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(MeshError) as caught:
        load_yaml_documents(text, "f.yaml")
    assert caught.value.code is ErrorCode.INVALID
    (violation,) = caught.value.violations
    assert "alias" in violation.message
    assert violation.file == "f.yaml"
    assert violation.line


def test_an_alias_used_twice_is_fine() -> None:
    (document,) = load_yaml_documents("a: &a {x: [1]}\nb: *a\nc: {d: *a}\n", "f.yaml")
    assert document.body == {"a": {"x": [1]}, "b": {"x": [1]}, "c": {"d": {"x": [1]}}}


def test_a_long_text_counts_wherever_its_alias_stands() -> None:
    text = f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 10)}]\n"
    (document,) = load_yaml_documents(text, "f.yaml")
    assert len(document.body["b"]) == 10
    with pytest.raises(MeshError, match="aliases are expanded"):
        load_yaml_documents(text.replace("[", f"[{'*a, ' * 30}"), "f.yaml")
