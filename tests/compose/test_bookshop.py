"""The bookshop in containers: unchanged applications, captured traffic, and what changes where it goes."""

import json
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from compose_stack import ROOT, SERVICES, SHOP

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]
EXAMPLES = ROOT / "examples" / "bookshop"
MEMBER = "spiffe://cluster.local/ns/default/sa/"
ASK = """
import json, sys, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=30) as answer:
        print(json.dumps([answer.status, json.load(answer)]))
except OSError as error:
    print(json.dumps([getattr(error, "code", 0), {}]))
"""


def test_the_first_request_through_the_gateway_is_answered(stack):
    # before anything else has warmed anything up
    assert stack.first_answer == 200


def test_every_hop_is_mutual_tls_between_applications_that_know_nothing_of_it(stack):
    with httpx.Client() as client:
        answers = [client.get(SHOP, timeout=60).json() for _ in range(30)]
    assert {one["caller"] for one in answers} == {MEMBER + "ingress"}
    assert {one["details"]["caller"] for one in answers} == {MEMBER + "front"}
    assert {one["reviews"]["caller"] for one in answers} == {MEMBER + "front"}
    rated = [one["reviews"]["ratings"] for one in answers if "ratings" in one["reviews"]]
    assert {one["caller"] for one in rated} == {MEMBER + "reviews"}
    assert {one["reviews"]["version"] for one in answers} == {"v1", "v2", "v3"}


def versions(header=None, count=40):
    with httpx.Client(headers=header or {}) as client:
        return Counter(client.get(SHOP, timeout=60).json()["reviews"]["version"] for _ in range(count))


@contextmanager
def applied(stack, path: Path, kind: str, name: str):
    """The file in force everywhere; taken back, everywhere, at the end."""
    stack.apply_and_wait(path, kind, name)
    try:
        yield
    finally:
        stack.kubectl("delete", kind, name)
        stack.wait_for_current()


def test_kubectl_moves_the_split(stack):
    steps = EXAMPLES / "steps"
    with applied(stack, steps / "1-all-v1.yaml", "virtualservice", "reviews"):
        assert set(versions()) == {"v1"}
        stack.apply_and_wait(steps / "2-half-v1-half-v3.yaml", "virtualservice", "reviews")
        half = versions(count=100)
        assert set(half) == {"v1", "v3"}
        assert 20 < half["v1"] < 80
        stack.apply_and_wait(steps / "3-ada-gets-v2.yaml", "virtualservice", "reviews")
        assert set(versions({"end-user": "ada"})) == {"v2"}
        stack.apply_and_wait(steps / "4-all-v3.yaml", "virtualservice", "reviews")
        assert set(versions()) == {"v3"}


def test_strict_refuses_a_container_without_a_sidecar_and_no_member(stack):
    def outsider():
        done = stack.compose(
            "run", "--rm", "-T", "--entrypoint", "python", "outsider", "-c", ASK, "http://ratings:9080/"
        )
        return json.loads(done)

    assert outsider()[0] == 200
    with applied(stack, EXAMPLES / "strict-ratings.yaml", "peerauthentication", "ratings"):
        assert outsider()[0] == 0
        inside = json.loads(stack.in_container("shopper-app", ASK, "http://ratings:9080/"))
        assert inside[0] == 200
        assert inside[1]["caller"] == MEMBER + "shopper"
    assert outsider()[0] == 200


def test_a_proxy_starts_again_without_any_control_plane(stack):
    away = ("injector", "pilot", "citadel", "galley", "nats", "postgres", "enrol")
    stack.compose("kill", "-s", "KILL", *away)
    try:
        stack.compose("restart", "-t", "10", "front-proxy")
        began, deadline = time.monotonic(), time.monotonic() + 60
        with httpx.Client() as client:
            while client.get(SHOP, timeout=60).status_code != 200:
                assert time.monotonic() < deadline, "the restarted proxy does not serve"
        print(f"served again {time.monotonic() - began:.1f} s after the restart")
    finally:
        stack.compose("up", "-d", "--wait", "--wait-timeout", "90", *away)
    for service in SERVICES:
        with stack.admin(service, token=False) as admin:
            assert admin.get("/readyz").status_code == 200


def test_tokens_of_workloads_are_kept_fresh(stack):
    path = "/var/lib/meshcore/workloads/front/token"
    old = stack.in_container("enrol", f"print(open({path!r}).read())").strip()
    stack.in_container("enrol", f"import os; os.utime({path!r}, (0, 0))")
    deadline = time.monotonic() + 60
    while (new := stack.in_container("enrol", f"print(open({path!r}).read())").strip()) == old:
        assert time.monotonic() < deadline, "no new token"
    assert new.count(".") == 2
