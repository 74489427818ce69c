"""No document whatever breaks the validator: it is refused with violations, or accepted and normalised."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from galley.core.admission import normalize, prune, violations_of
from galley.core.kind_rules import Naming
from galley.core.kinds import rules_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meshcore.model.kinds import KINDS, KindInfo, by_kind
from meshcore.model.load import parse_object

TESTDATA = Path(__file__).parents[1] / "testdata"
DOCUMENTS = [
    yaml.safe_load(path.read_text())
    for path in sorted(TESTDATA.glob("*/in.yaml"))
    if "kind" in path.read_text() and "normalized.yaml" in {other.name for other in path.parent.iterdir()}
]
ODD_TEXT = ("", "*", "~", "%", "%REQ(", "/", "\x00", "\ud800", "a" * 5000, "1.1.1.1/33", "::1%x", "unix://", "1ns", "٣")
ODD = st.one_of(
    st.sampled_from(ODD_TEXT),
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.recursive(
        st.none() | st.text(max_size=5) | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    if isinstance(value, dict):
        found += [path for key, item in value.items() for path in paths(item, (*at, key))]
    elif isinstance(value, list):
        found += [path for index, item in enumerate(value) for path in paths(item, (*at, index))]
    return found


def judge(document: dict[str, Any], info: KindInfo) -> None:
    errors, _ = violations_of(document, info)
    if errors:
        assert all(str(violation) for violation in errors)
        return
    body, _, _ = prune({**document, "apiVersion": info.api_version}, info)
    once = normalize(parse_object(dict(rules_of(info).fill_defaults(body))), info, Naming())
    json.dumps(once).encode()
    assert normalize(parse_object(once), info, Naming()) == once


@settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_good_document_with_odd_values_in_it_is_refused_or_accepted(data: st.DataObject) -> None:
    document = copy.deepcopy(data.draw(st.sampled_from(DOCUMENTS)))
    info = by_kind(document["apiVersion"], document["kind"])
    for _ in range(data.draw(st.integers(1, 3))):
        places = [path for path in paths(document) if path and path[0] not in ("apiVersion", "kind")]
        *parents, last = data.draw(st.sampled_from(places))
        target = document
        for part in parents:
            target = target[part]
        target[last] = data.draw(ODD)
    judge(document, info)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(["spec", "metadata", "data", "status", "x"]), ODD))
def test_a_document_of_anything_is_refused_or_accepted(info: KindInfo, body: dict[str, Any]) -> None:
    judge({"apiVersion": info.api_version, "kind": info.kind, **body}, info)


def test_text_that_is_half_a_character_is_refused_with_words() -> None:
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"key": "\ud800"}}
    (violation,), _ = violations_of(document, by_kind("v1", "ConfigMap"))
    assert "not Unicode" in violation.message


@pytest.mark.parametrize("info", KINDS, ids=lambda info: info.kind)
@pytest.mark.parametrize("part", ["", "*", 0, [], [1], {"": None}, {"ports": "x"}], ids=repr)
def test_a_part_of_the_wrong_type_is_refused_or_accepted(info: KindInfo, part: Any) -> None:
    for field in ("spec", "data", "type", "ports"):
        judge({"apiVersion": info.api_version, "kind": info.kind, "metadata": {"name": "a"}, field: part}, info)
