"""The validating webhook over real HTTPS."""

import asyncio
import json
import ssl

import httpx
import pytest
from galley.adapters.webhook import LARGEST_REVIEW, create_webhook
from galley.core.kind_rules import Naming
from meshcore import metrics
from meshcore.http import listening
from meshcore.testing.identity import make_ca
from meshcore.tls import ssl_server_context

ENTRY = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "strict", "namespace": "shop"},
    "spec": {"mtls": {"mode": "STRICT"}},
}
WRONG = {**ENTRY, "spec": {"mtls": {"mode": "SOMETIMES"}}}


def review(document=ENTRY, **request):
    asked = {"uid": "u-1", "operation": "UPDATE", "object": document, **request}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}


class Webhook:
    now = 0.0
    port = 0
    client: httpx.AsyncClient


@pytest.fixture
async def webhook(request):
    """A body has all the time that a busy machine needs, but for the test that says how little."""
    within = getattr(request, "param", 60)
    ca = make_ca()
    galley = ca.issue("spiffe://cluster.local/ns/istio-system/sa/galley", dns=["galley.istio-system.svc"])
    one = Webhook()
    app = create_webhook(
        Naming(), requests_per_second=1, requests_burst=20, request_timeout=within, clock=lambda: one.now
    )
    trust = ssl.create_default_context(cadata=ca.root_pem.decode())
    async with (
        listening(app, "127.0.0.1", 0, ssl_server_context(galley)) as port,
        httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=trust, timeout=60) as client,
    ):
        one.port, one.client = port, client
        yield one


@pytest.mark.parametrize("path", ["/validate", "/validate/canary", "/admitpilot", "/validate?timeout=10s"])
async def test_a_good_object_is_allowed_on_every_path(webhook, path):
    response = await webhook.client.post(path, json=review())
    assert response.status_code == 200
    assert response.json()["response"] == {"uid": "u-1", "allowed": True}


async def test_a_wrong_object_is_refused_in_a_200_and_counted(webhook):
    answer = (await webhook.client.post("/validate", json=review(WRONG))).json()
    assert answer["response"]["allowed"] is False
    assert "spec.mtls.mode" in answer["response"]["status"]["message"]
    assert b'galley_validation_failed{group="security.istio.io",reason=' in metrics.render()


async def test_mixers_path_takes_no_other_kinds(webhook):
    answer = (await webhook.client.post("/admitmixer", json=review())).json()
    assert answer["response"]["status"]["message"].startswith("unrecognized type")


async def test_a_body_that_is_no_review_is_answered_with_no(webhook):
    response = await webhook.client.post("/validate", content=b"{", headers={"content-type": "application/json"})
    assert response.status_code == 200
    assert response.json()["response"]["allowed"] is False


async def test_half_a_surrogate_pair_comes_back_as_it_was(webhook):
    body = json.dumps(review()).replace("u-1", "\\ud800").encode()
    response = await webhook.client.post("/validate", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 200
    assert b"\\ud800" in response.content


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{}", "application/yaml", 415),
        (b"{}", "application/json; charset=utf-8", 415),
        (b"{}", "", 415),
        (b" " * (LARGEST_REVIEW + 1), "application/json", 413),
    ],
)
async def test_what_gets_no_verdict_is_counted_by_its_status(webhook, content, content_type, status):
    response = await webhook.client.post("/validate", content=content, headers={"content-type": content_type})
    assert response.status_code == status
    assert f'galley_validation_http_error{{status="{status}"}}'.encode() in metrics.render()


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(webhook):
    async def endless():
        for _ in range(LARGEST_REVIEW // 65536 + 2):
            yield b" " * 65536

    response = await webhook.client.post("/validate", content=endless(), headers={"content-type": "application/json"})
    assert response.status_code == 413


async def test_over_the_rate_the_answer_is_429_and_others_follow_later(webhook):
    statuses = [(await webhook.client.post("/validate", json=review())).status_code for _ in range(21)]
    assert statuses == [200] * 20 + [429]
    webhook.now = 1.0
    assert (await webhook.client.post("/validate", json=review())).status_code == 200


async def test_a_large_object_counts_for_many(webhook):
    large = {**ENTRY, "metadata": {"name": "strict", "annotations": {"a": "y" * 400_000}}}
    assert (await webhook.client.post("/validate", json=review(large))).status_code == 200
    assert (await webhook.client.post("/validate", json=review())).status_code == 429


async def test_plain_http_and_other_paths_are_not_answered(webhook):
    assert (await webhook.client.get("/ready")).status_code == 200
    assert (await webhook.client.post("/inject", json=review())).status_code == 404
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.HTTPError):
            await client.post(f"http://127.0.0.1:{webhook.port}/validate", json=review())


@pytest.mark.parametrize("webhook", [0.5], indirect=True)
async def test_a_body_that_never_ends_is_given_up(webhook):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", webhook.port, ssl=context)
    writer.write(b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
    async with asyncio.timeout(60):
        status = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert b"504" in status
