import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from injector.core.template import as_json, render_template, shipped_templates
from injector.core.yaml_documents import NoSurprisesLoader
from meshcore.errors import MeshError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_whatever_is_rendered_is_read_back_as_the_same_value(value):
    text = as_json(value)
    assert "\n" not in text
    assert yaml.load(f"field: {text}", Loader=NoSurprisesLoader) == {"field": value}


@pytest.mark.parametrize(
    "hostile",
    [
        'x"\n  privileged: true',
        "a: b",
        "*anchor",
        "&anchor x",
        "!!python/object/apply:os.system [id]",
        "- item",
        "{{ values }}",
        "yes",
        "0x10",
        "\x85\u2028\ud83d\ude00"[:3],
    ],
)
def test_a_hostile_value_stays_one_string(hostile):
    assert render_template("t", "a: {{ value }}\nb: 1\n", {"value": hostile}) == {"a": hostile, "b": 1}


def test_an_unknown_name_is_an_error_that_names_it():
    with pytest.raises(MeshError, match="no_such_name"):
        render_template("mine", "a: {{ no_such_name }}\n", {})


@pytest.mark.parametrize(
    "attack",
    [
        "a: {{ ''.__class__.__mro__ }}",
        "a: {{ values.__class__ }}",
        "a: {{ lipsum.__globals__ }}",
        "a: {{ cycler.__init__.__globals__.os }}",
        "a: {{ values.update({'x': 1}) }}",
        "a: {% for i in range(10000000) %}{% endfor %}1",
    ],
)
def test_the_sandbox_gives_a_template_nothing_but_its_data(attack):
    with pytest.raises(MeshError):
        render_template("mine", attack, {"values": {"y": 1}})


def test_a_template_that_does_not_parse_says_where():
    with pytest.raises(MeshError, match="line 2"):
        render_template("mine", "a: 1\n{% if %}\n", {})


@pytest.mark.parametrize("text", ["- a\n", "just text", "a: [", "a: b: c"])
def test_a_template_must_render_to_a_map(text):
    with pytest.raises(MeshError, match="mine"):
        render_template("mine", text, {})


def test_the_shipped_template_glues_no_text_to_an_expression():
    # an expression inside quotes or in the middle of a word would escape the JSON rule
    for line in shipped_templates()["sidecar"].splitlines():
        if "{{" in line:
            before, rest = line.split("{{", 1)
            assert before.endswith((": ", "- ")), line
            assert rest.endswith("}}"), line


def test_json_text_is_a_string_that_holds_json():
    rendered = render_template("t", "a: {{ value | json_text }}\n", {"value": {"k": ["\u00e9", 1]}})
    assert json.loads(rendered["a"]) == {"k": ["\u00e9", 1]}
