"""A row that is not met says so: every expectation can fail, and chance alone makes none fail."""

from typing import Any

import pytest
from meshcore.testing.traffic_rows import RowCall
from meshcore.testing.traffic_verdict import UNKNOWN, Answer, Outcome, Partly, disagreements, tolerance

GOOD = Answer(
    status=200,
    workload="echo-v1",
    headers={"x-a": "1"},
    saw={"path": "/a", "host": "shop.test", "caller": "", "tls": False, "headers": {"x-b": "2"}},
    seconds=0.5,
    grpc_status=0,
)


def call(expect: dict[str, Any], count: int = 1) -> RowCall:
    return RowCall.model_validate({"url": "http://shop.test/a", "count": count, "expect": expect})


@pytest.mark.parametrize(
    "expect",
    [
        {"status": 503},
        {"statuses": {200: 50, 503: 50}, "tolerance": 20},
        {"backends": {"echo-v2": 100}},
        {"backends": {}},
        {"headers": {"x-a": "2"}},
        {"headers": {"x-a": None}},
        {"headers": {"x-a": "~[a-z]"}},
        {"location": "http://elsewhere.test/"},
        {"body": "other"},
        {"saw": {"path": "/b"}},
        {"saw": {"caller": "spiffe://cluster.local/ns/default/sa/client"}},
        {"saw": {"tls": True}},
        {"saw": {"headers": {"x-b": None}}},
        {"saw": {"headers": {"x-c": "3"}}},
        {"at_least": 0.6},
        {"under": 0.4},
        {"grpc_status": 14},
        {"attempts": 2},
        {"copies": {"echo-v1": 100, "ledger": 100}},
    ],
    ids=str,
)
def test_what_is_not_met_is_said(expect):
    assert disagreements(call(expect), Outcome([GOOD], asked=1, copies={"echo-v1": 100.0}))


def test_what_is_met_is_not():
    wanted = {"backends": {"echo-v1": 100}, "headers": {"x-a": "~[0-9]", "x-z": None}, "attempts": 1, "grpc_status": 0}
    wanted |= {"saw": {"path": "/a", "headers": {"x-b": "2", "x-c": None}}, "at_least": 0.5, "under": 0.6}
    assert disagreements(call(wanted), Outcome([GOOD], asked=1, copies={"echo-v1": 100.0})) == []


def test_several_workloads_are_not_one():
    answers = [GOOD, Answer(status=200, workload="echo-v2")]
    assert disagreements(call({"one_backend": True}, count=2), Outcome(answers))
    assert not disagreements(call({"one_backend": True}, count=2), Outcome([GOOD, GOOD]))


def test_what_an_answerer_cannot_know_agrees_with_everything():
    answer = Answer(status=200, workload="echo-v1", headers=Partly(), body=UNKNOWN, saw=Partly(path="/a"))
    wanted = {
        "headers": {"x-a": "1"},
        "body": "x",
        "at_least": 3,
        "grpc_status": 7,
        "attempts": 9,
        "saw": {"host": "h"},
    }
    assert disagreements(call(wanted), Outcome([answer])) == []
    assert disagreements(call({"saw": {"path": "/b"}}), Outcome([answer]))


def test_chance_is_allowed_for_but_not_where_there_is_none():
    assert tolerance(call({}, count=100), 50.0) == 30.0
    assert tolerance(call({}, count=100), 100.0) < 0.001
    assert tolerance(call({"tolerance": 3}, count=100), 50.0) == 3


def test_a_request_has_its_number_in_url_and_headers():
    one = RowCall.model_validate({"url": "http://shop.test/?user=$n", "headers": {"x-user": "user $n"}})
    assert (one.numbered(7).url, one.numbered(7).headers) == ("http://shop.test/?user=7", {"x-user": "user 7"})
