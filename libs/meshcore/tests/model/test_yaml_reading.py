"""What a YAML file means, and where its fields stand, in the forms that are easily got wrong."""

import pytest
from meshcore.errors import ErrorCode, MeshError
from meshcore.model.load import load_yaml_documents

SCALARS = """
a: yes
b: "yes"
c: 010
d: 0x1F
e: 1.5e+3
f: 2001-01-01
g: ~
h: ""
i:
j: 1:20
k: !!str 1
l: .inf
"""


def test_scalars_mean_what_yaml_1_1_says_and_dates_are_texts():
    (document,) = load_yaml_documents(SCALARS, "f.yaml")
    assert document.body == {
        "a": True,
        "b": "yes",
        "c": 8,
        "d": 31,
        "e": 1500.0,
        "f": "2001-01-01",
        "g": None,
        "h": "",
        "i": None,
        "j": 80,
        "k": "1",
        "l": float("inf"),
    }


def test_keys_are_texts_and_may_not_stand_twice_in_another_spelling():
    (document,) = load_yaml_documents("8080: a\ntrue: b\n1.5: c\n", "f.yaml")
    assert document.body == {"8080": "a", "true": "b", "1.5": "c"}
    with pytest.raises(MeshError, match="twice"):
        load_yaml_documents("1: a\n'1': b\n", "f.yaml")


def test_merged_keys_stand_where_they_were_written():
    text = "a: &a\n  x: 1\n  y: 2\nb:\n  <<: *a\n  y: 3\n"
    (document,) = load_yaml_documents(text, "f.yaml")
    assert document.body["b"] == {"x": 1, "y": 3}
    assert document.line_of("b.x") == 2
    assert document.line_of("b.z") == 4


@pytest.mark.parametrize(
    "text", ["a: !!map [1]\n", "a: !!bool x\n", "a: !!int x\n", "a: !!timestamp x\n", "a: !mine x\n", "? [a]\n: 1\n"]
)
def test_a_value_that_is_not_what_its_tag_says_is_refused(text: str):
    with pytest.raises(MeshError) as caught:
        load_yaml_documents(text, "f.yaml")
    assert caught.value.code is ErrorCode.INVALID
    assert "f.yaml" in str(caught.value)


TEXTS = {
    "byte order mark": "\ufeffa: 1\n---\nb: ü😀\nc: 2\n---\nd: {e: [1, 2]}\n",
    "directives and ends": "%YAML 1.1\n---\na: 1\n...\n# c\n%TAG ! tag:yaml.org,2002:\n---\na: !str 1\n",
    "flow, comments, indentation": "{a: 1} # x\n# y\n---\nb: 1\n...\n---\n c: 3\n d: 3\n",
    "carriage returns": "a: 1\r\n---\r\nb:\r\n- 1\r\n- 2\r\n",
    "empty documents": "---\n---\na: 1\n---\n---\nb: 2\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_field_stands_on_its_line(text: str):
    lines = text.splitlines()
    documents = load_yaml_documents(text, "f.yaml")
    assert documents
    for document in documents:
        for key in document.body:
            assert f"{key}:" in lines[document.line_of(key) - 1]
        assert document.line_of("absent") == document.line


def test_objects_of_a_list_know_the_lines_of_their_fields():
    text = "# first\n---\nkind: List\nitems:\n- kind: A\n  spec:\n    x: 1\n-\n  kind: B\n  names: [a,\n    b]\n"
    first, second = load_yaml_documents(text, "f.yaml")
    assert (first.line, first.line_of("spec.x"), first.line_of("spec.y")) == (5, 7, 6)
    assert (second.line, second.line_of("names[1]"), second.line_of("")) == (9, 11, 9)


@pytest.mark.parametrize(
    "value",
    ["!!float x", "!!int x", "1" * 5000, "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!binary /w==", "{~: 1}"],
)
def test_what_json_does_not_have_is_refused_with_its_line(value: str):
    with pytest.raises(MeshError) as caught:
        load_yaml_documents(f"a: 1\nb: {value}\n", "f.yaml")
    (violation,) = caught.value.violations
    assert (violation.file, violation.line) == ("f.yaml", 2)


def test_binary_is_the_text_that_it_encodes_and_an_equals_sign_is_text():
    (document,) = load_yaml_documents("a: !!binary aGk=\nb: =\n", "f.yaml")
    assert document.body == {"a": "hi", "b": "="}


def test_a_key_that_python_does_not_write_is_refused():
    with pytest.raises(MeshError, match="neither a text nor a number"):
        load_yaml_documents(f"? 0x{'f' * 5000}\n: 1\n", "f.yaml")
