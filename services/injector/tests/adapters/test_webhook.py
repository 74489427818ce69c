"""The webhook over real HTTPS: what the API server sends, and what it should not."""

import asyncio
import base64
import json
import socket
import ssl

import httpx
import jsonpatch
import pytest
from injector.adapters.webhook import LARGEST_REVIEW, create_webhook
from injector.core.mesh_state import MeshState
from meshcore.distribution.keys import Key
from meshcore.http import listening
from meshcore.testing.identity import make_ca
from meshcore.tls import ssl_server_context

POD = {"metadata": {"name": "front"}, "spec": {"containers": [{"name": "app", "image": "front:1"}]}}


def review(pod=POD, **request):
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    question = {"uid": "u-1", "kind": kind, "namespace": "shop", "object": pod, **request}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": question}


class Webhook:
    def __init__(self):
        self.state = MeshState.empty("istio-system")
        self.now = 0.0
        self.port = 0
        self.client = None


@pytest.fixture
async def webhook(request):
    """A body has all the time that a busy machine needs, but for the test that says how little."""
    within = getattr(request, "param", 60)
    ca = make_ca()
    injector = ca.issue("spiffe://cluster.local/ns/istio-system/sa/injector", dns=["injector.istio-system.svc"])
    one = Webhook()
    app = create_webhook(
        lambda: one.state, requests_per_second=1, requests_burst=20, request_timeout=within, clock=lambda: one.now
    )
    trust = ssl.create_default_context(cadata=ca.root_pem.decode())
    async with (
        listening(app, "127.0.0.1", 0, ssl_server_context(injector)) as port,
        httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=trust, timeout=60) as client,
    ):
        one.port, one.client = port, client
        yield one


async def test_a_pod_gets_its_sidecar_over_tls(webhook):
    response = await webhook.client.post("/inject?timeout=10s", json=review())
    assert response.status_code == 200
    answer = response.json()["response"]
    assert (answer["uid"], answer["allowed"]) == ("u-1", True)
    pod = jsonpatch.JsonPatch(json.loads(base64.b64decode(answer["patch"]))).apply(POD)
    assert [container["name"] for container in pod["spec"]["containers"]] == ["app", "istio-proxy"]


async def test_the_path_may_name_cluster_and_network(webhook):
    response = await webhook.client.post("/inject/cluster/west/net/net-2", json=review())
    patch = base64.b64decode(response.json()["response"]["patch"]).decode()
    assert "net-2" in patch
    assert "west" in patch


async def test_what_the_feed_says_decides(webhook):
    opted_out = {"metadata": {"labels": {"istio-injection": "disabled"}}}
    webhook.state = webhook.state.applied([(Key("", "namespaces", "", "shop"), opted_out)])
    response = await webhook.client.post("/inject", json=review())
    assert response.json()["response"] == {"uid": "u-1", "allowed": True}


async def test_plain_http_is_not_answered(webhook):
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.HTTPError):
            await client.post(f"http://127.0.0.1:{webhook.port}/inject", json=review())


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"{}", "application/json", 400),
        (json.dumps(review(uid="")).encode(), "application/json", 400),
        (json.dumps(review()).encode(), "application/yaml", 415),
        (json.dumps(review()).encode(), "", 415),
        (b" " * (LARGEST_REVIEW + 1), "application/json", 413),
    ],
    ids=["empty", "not json", "no review", "no uid", "yaml", "no type", "too large"],
)
async def test_what_cannot_be_answered_is_refused_with_a_problem_document(webhook, content, content_type, status):
    response = await webhook.client.post("/inject", content=content, headers={"content-type": content_type})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"]
    assert response.json()["status"] == status


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(webhook):
    async def endless():
        for _ in range(LARGEST_REVIEW // 65536 + 2):
            yield b" " * 65536

    headers = {"content-type": "application/json"}
    response = await webhook.client.post("/inject", content=endless(), headers=headers)
    assert response.status_code == 413


async def test_over_the_rate_the_answer_is_429_and_others_follow_later(webhook):
    statuses = [(await webhook.client.post("/inject", json=review())).status_code for _ in range(21)]
    assert statuses == [200] * 20 + [429]
    webhook.now = 1.0
    assert (await webhook.client.post("/inject", json=review())).status_code == 200


async def test_a_large_pod_counts_for_many(webhook):
    large = {**POD, "metadata": {"name": "front", "labels": {"x": "y" * 400_000}}}
    assert (await webhook.client.post("/inject", json=review(large))).status_code == 200
    assert (await webhook.client.post("/inject", json=review())).status_code == 429


async def test_before_the_configuration_is_known_nothing_is_injected(webhook):
    webhook.state = None
    assert (await webhook.client.post("/inject", json=review())).status_code == 503
    assert (await webhook.client.get("/ready")).status_code == 503


@pytest.mark.parametrize("webhook", [0.5], indirect=True)
async def test_a_body_that_never_ends_is_given_up(webhook):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", webhook.port, ssl=context, family=socket.AF_INET)
    writer.write(b"POST /inject HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    async with asyncio.timeout(60):
        status = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert b"504" in status
