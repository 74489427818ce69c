"""Delegates of VirtualServices: conditions within conditions, and what stays the same from revision to revision."""

import pytest
from meshcore.model.virtual_service import HttpMatchRequest
from pilot.core.config import Config
from pilot.core.delegated_match import delegated_matches
from pilot.core.delegates import delegating

WORLD = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: shop}
spec:
  hosts: [shop.example]
  http:
  - {delegate: {name: leaf, namespace: other}}
  - {delegate: {name: gone}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: leaf, namespace: other}
spec:
  http:
  - match: [{gateways: [public, mesh]}]
    mirrors: [{destination: {host: copies}}]
    route: [{destination: {host: Books}}]
"""


def match(**fields):
    return HttpMatchRequest.model_validate(fields)


@pytest.mark.parametrize(
    ("root", "leaf"),
    [
        ({"uri": {"prefix": "/a/b"}}, {"uri": {"prefix": "/a"}}),
        ({"uri": {"exact": "/a"}}, {"uri": {"prefix": "/a"}}),
        ({"uri": {"exact": "/a"}}, {"uri": {"exact": "/b"}}),
        ({"uri": {"regex": "/a.*"}}, {"uri": {"exact": "/a"}}),
        ({"uri": {"prefix": "/"}}, {"uri": {"regex": "/a"}}),
        ({"headers": {"a": {"exact": "1"}}}, {"headers": {"a": {"exact": "2"}}}),
        ({"queryParams": {"a": {"exact": "1"}}}, {"queryParams": {"a": {"prefix": "1"}}}),
        ({"port": 80}, {"port": 81}),
        ({"ignoreUriCase": True}, {}),
        ({"sourceNamespace": "a"}, {"sourceNamespace": "b"}),
        ({"sourceLabels": {"a": "1"}}, {"sourceLabels": {"a": "2"}}),
        ({"gateways": ["a/b"]}, {"gateways": ["a/c"]}),
    ],
)
def test_conditions_that_go_beyond_conflict(root, leaf):
    assert delegated_matches((match(**root),), (match(**leaf),)) is None


@pytest.mark.parametrize(
    ("root", "leaf", "both"),
    [
        ({"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/a/b"}}, {"uri": {"prefix": "/a/b"}}),
        ({"uri": {"prefix": "/a"}}, {"port": 80}, {"uri": {"prefix": "/a"}, "port": 80}),
        (
            {"name": "r", "headers": {"a": {"exact": "1"}}},
            {"name": "l", "headers": {"b": {"regex": "2"}}},
            {"name": "r-l", "headers": {"a": {"exact": "1"}, "b": {"regex": "2"}}},
        ),
        ({"gateways": ["a/b", "mesh"]}, {"gateways": ["mesh"]}, {"gateways": ["mesh"]}),
        ({"gateways": ["a/b"]}, {"statPrefix": "s"}, {"gateways": ["a/b"], "statPrefix": "s"}),
        ({"sourceLabels": {"a": "1"}}, {"sourceLabels": {"b": "2"}}, {"sourceLabels": {"a": "1", "b": "2"}}),
    ],
)
def test_conditions_that_are_within_hold_together(root, leaf, both):
    assert delegated_matches((match(**root),), (match(**leaf),)) == (match(**both),)


def test_a_match_may_be_within_several():
    found = delegated_matches((match(uri={"prefix": "/"}), match(port=80)), (match(uri={"exact": "/a"}),))
    assert found == (match(uri={"exact": "/a"}), match(uri={"exact": "/a"}, port=80))
    assert delegated_matches((), (match(port=80),)) == (match(port=80),) == delegated_matches((match(port=80),), ())


def test_names_of_a_delegate_are_those_of_its_namespace(objects):
    configs = {item.namespaced_name: Config(item) for item in objects(WORLD)}
    merged = delegating(configs, {}, ("*",))["shop", "root"]
    (rule,) = merged.object.spec.http
    assert rule.match[0].gateways == ("other/public", "mesh")
    assert rule.route[0].destination.host == "books.other.svc.cluster.local"
    assert rule.mirrors[0].destination.host == "copies.other.svc.cluster.local"
    assert [(ref.namespace, ref.name) for ref in merged.refs_of(0)] == [("shop", "root"), ("other", "leaf")]
    assert [problem.code for problem in merged.problems] == ["delegate-missing"]


def test_it_stays_the_same_object_while_its_parts_do(objects):
    configs = {item.namespaced_name: Config(item) for item in objects(WORLD)}
    first = delegating(configs, {}, ("*",))
    assert delegating({**configs}, first, ("*",))["shop", "root"] is first["shop", "root"]
    assert delegating(configs, first, (".",))["shop", "root"].object.spec.http == ()
    again = {**configs, ("other", "leaf"): Config(configs["other", "leaf"].object, 7)}
    changed = delegating(again, first, ("*",))["shop", "root"]
    assert changed is not first["shop", "root"]
    assert max(ref.revision for ref in changed.refs) == 7
