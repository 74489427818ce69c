"""Every folder of examples/ does what its README says, to the bookshop as `meshctl up --demo` starts it."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from mesh import ROOT, Mesh, wait_until
from meshctl.adapters.traffic import Reply

EXAMPLES = ROOT / "examples"
FRONT, DETAILS, REVIEWS, RATINGS = (f"http://{name}:9080" for name in ("front", "details", "reviews", "ratings"))
SHOPPER = "shopper"
ALL_THREE = 60
"""Requests of which each of three endpoints gets one: chance leaves one out once in ten thousand millions."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Mesh]:
    mesh = Mesh([])
    try:
        mesh.up("--demo")
        yield mesh
    finally:
        mesh.close()


def documents(name: str, file: str = "config.yaml") -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLES / name / file).read_text()))


@contextmanager
def applied(shop: Mesh, *objects: Mapping[str, Any]) -> Iterator[None]:
    """In force everywhere; afterwards everything is as it was."""
    before = {}
    for one in objects:
        metadata = one["metadata"]
        kept = [old for old in documents("bookshop", "bookshop.yaml") if old["kind"] == one["kind"]]
        before[one["kind"], metadata["name"]] = next(
            (o for o in kept if o["metadata"]["name"] == metadata["name"]), None
        )
    shop.converged(shop.change(objects))
    try:
        yield
    finally:
        back = [old for old in before.values() if old]
        gone = [one for one in objects if not before[one["kind"], one["metadata"]["name"]]]
        shop.converged(shop.change(back, gone))


def ask(shop: Mesh, url: str, count: int = 1, **headers: str) -> list[Reply]:
    return shop.get_many(
        url, count, via=SHOPPER, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


def statuses(replies: list[Reply]) -> Counter[int]:
    return Counter(reply.status for reply in replies)


def versions(replies: list[Reply]) -> Counter[str]:
    assert statuses(replies) == {200: len(replies)}
    return Counter(str(reply.body["version"]) for reply in replies)


def test_every_example_is_tried_here_and_has_three_lines() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.is_dir()} - {"bookshop", "explain"}
    text = Path(__file__).read_text()
    assert names == {name for name in names if f'documents("{name}"' in text}
    for name in names:
        lines = [line for line in (EXAMPLES / name / "README.md").read_text().splitlines() if line]
        assert len(lines) == 3, name


def test_canary(shop: Mesh) -> None:
    with applied(shop, *documents("canary")):
        assert versions(ask(shop, REVIEWS + "/", 20, end_user="tester")) == {"v2": 20}
        shares = versions(ask(shop, REVIEWS + "/", 300))
        assert set(shares) == {"v1", "v2"}
        # one in ten: of 300 neither fewer than 5 nor more than 70, but once in a hundred millions
        assert 5 <= shares["v2"] <= 70


def test_fault_injection(shop: Mesh) -> None:
    with applied(shop, *documents("fault-injection")):
        assert statuses(ask(shop, RATINGS + "/", 5, end_user="ada")) == {500: 5}
        began = time.monotonic()
        assert statuses(ask(shop, RATINGS + "/", end_user="linus")) == {200: 1}
        assert time.monotonic() - began >= 0.4
        assert statuses(ask(shop, RATINGS + "/", 5)) == {200: 5}


def requests_served(shop: Mesh, workload: str) -> float:
    page = httpx.get(f"http://{shop.workload(workload)['address']}:15020/stats/prometheus", trust_env=False, timeout=60)
    lines = [line for line in page.text.splitlines() if line.startswith("istio_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'reporter="destination"' in line)


def test_mirroring(shop: Mesh) -> None:
    with applied(shop, *documents("mirroring")):
        before = requests_served(shop, "reviews-v3")
        assert versions(ask(shop, REVIEWS + "/", 20)) == {"v1": 20}
        wait_until("a copy of each", lambda: requests_served(shop, "reviews-v3") - before >= 20)
        assert requests_served(shop, "reviews-v3") - before == 20


def test_retries(shop: Mesh) -> None:
    once = {"retries": {"attempts": 0}, "route": [{"destination": {"host": "ratings"}}]}
    [example] = documents("retries")
    plain = example | {"spec": {"hosts": ["ratings"], "http": [once]}}
    with applied(shop, plain):
        assert set(statuses(ask(shop, RATINGS + "/flaky", 20))) == {200, 503}
    with applied(shop, example):
        assert statuses(ask(shop, RATINGS + "/flaky", 20)) == {200: 20}


def test_timeouts(shop: Mesh) -> None:
    with applied(shop, *documents("timeouts")):
        assert statuses(ask(shop, DETAILS + "/slow")) == {504: 1}
        # on a busy machine half a second may be too short for any page
        wait_until("a page that is quick enough", lambda: statuses(ask(shop, DETAILS + "/")) == {200: 1})
    assert statuses(ask(shop, DETAILS + "/slow")) == {200: 1}


def test_circuit_breaking(shop: Mesh) -> None:
    with applied(shop, *documents("circuit-breaking")):
        with ThreadPoolExecutor(6) as pool:
            found = [one for some in pool.map(lambda _: ask(shop, DETAILS + "/slow"), range(6)) for one in some]
        assert set(statuses(found)) == {200, 503}


def test_locality(shop: Mesh) -> None:
    assert set(versions(ask(shop, REVIEWS + "/", ALL_THREE))) == {"v1", "v2", "v3"}
    with applied(shop, *documents("locality")):
        assert versions(ask(shop, REVIEWS + "/", 30)) == {"v1": 30}


@contextmanager
def outside_world() -> Iterator[int]:
    """An HTTP server beyond the mesh; its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"news": true}'
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_egress_control(shop: Mesh) -> None:
    entry = {"name": "egress", "namespace": "default", "service_account": "egress", "type": "router", "group": "egress"}
    shop.add(entry | {"labels": {"app": "egress"}, "ports": [8080]})
    service, *_ = [one for one in documents("bookshop", "gateways-in-containers.yaml") if one["kind"] == "Service"]
    with outside_world() as port:
        scope, news = documents("egress-control", "registry-only.yaml")
        # news.example is on this machine here
        news["spec"]["endpoints"] = [{"address": "localhost", "ports": {"http": port}}]

        def read() -> bool:  # an address that a proxy looks up, or a gateway's new listener, comes after the receipt
            return bool(ask(shop, "http://news.example/")[0].body == {"news": True})

        with applied(shop, service, scope, news):
            wait_until("the news are read", read)
            assert statuses(ask(shop, f"http://localhost:{port}/")) == {502: 1}
            assert statuses(ask(shop, DETAILS + "/")) == {200: 1}
            assert sent_on(shop, "egress") == 0
            with applied(shop, *documents("egress-control", "through-the-gateway.yaml")):
                wait_until("the gateway has sent it on", lambda: read() and sent_on(shop, "egress") >= 1)


def sent_on(shop: Mesh, gateway: str) -> float:
    """Requests that a gateway has sent to news.example."""
    page = httpx.get(f"http://{shop.workload(gateway)['address']}:15020/stats/prometheus", trust_env=False, timeout=60)
    lines = [line for line in page.text.splitlines() if line.startswith("istio_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if "news.example" in line)


def test_mtls_strict(shop: Mesh) -> None:
    address = shop.workload("details")["address"]

    def plaintext() -> int:
        try:
            return httpx.get(f"http://{address}:9080/", trust_env=False, timeout=60).status_code
        except httpx.TransportError:
            return 0

    assert plaintext() == 200
    with applied(shop, *documents("mtls-strict")):
        assert plaintext() == 0
        assert statuses(ask(shop, FRONT + "/", 5)) == {200: 5}
        gateway = shop.workload("ingress")["address"]
        assert httpx.get(f"http://{gateway}:8080/", trust_env=False, timeout=60).status_code == 200


def test_tokens_of_end_users(shop: Mesh) -> None:
    token = (EXAMPLES / "jwt" / "token.txt").read_text().strip()
    with applied(shop, *documents("jwt")):
        wait_until("who brings no token is refused", lambda: ask(shop, DETAILS + "/")[0].status == 403)
        assert statuses(ask(shop, DETAILS + "/", authorization=f"Bearer {token}")) == {200: 1}
        assert statuses(ask(shop, DETAILS + "/")) == {403: 1}
        wrong = re.sub(r"\.[^.]*$", ".AAAA", token)
        assert statuses(ask(shop, DETAILS + "/", authorization=f"Bearer {wrong}")) == {401: 1}


def test_authorization(shop: Mesh) -> None:
    with applied(shop, *documents("authorization")):
        # connections that were open before are told to go with their next answer
        wait_until("the shopper is refused", lambda: ask(shop, RATINGS + "/")[0].status == 403)
        [rated] = [one for one in ask(shop, REVIEWS + "/", ALL_THREE) if one.body["version"] == "v3"][:1]
        assert rated.status == 200
        assert rated.body["ratings"]["part"] == "ratings"
        check = shop.run_here("authz", "check", "default/shopper", "ratings", "--method", "GET", check=False)
        assert "denied" in check.output.lower()
