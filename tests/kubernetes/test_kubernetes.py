"""Our CRDs, the Kubernetes source and the webhook against a real kube-apiserver."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx
import nats as nats_client
import pytest
import yaml
from api_server import ApiServer
from meshcore.bus.subjects import CONFIG_BUCKET
from meshcore.distribution.keys import kv_key
from meshcore.distribution.records import decode_record
from meshcore.testing.galley import GalleyProcess, bearer
from meshcore.testing.nats import NatsServer
from nats.js.errors import BucketNotFoundError, KeyNotFoundError

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
VS = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
MERGE = {"Content-Type": "application/merge-patch+json"}
WITHIN = 120.0


def virtual_service(name: str, host: str = "reviews") -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]},
    }


def wait_until(what: str, look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not look():
        assert time.monotonic() < deadline, f"not within {WITHIN:.0f} s: {what}"
        time.sleep(0.1)


async def _published(url: str, names: tuple[str, ...]) -> dict[str, str]:
    connection = await nats_client.connect(url)
    found = {}
    try:
        bucket = await connection.jetstream().key_value(CONFIG_BUCKET)
        for name in names:
            key = kv_key("networking.istio.io", "virtualservices", "shop", name)
            try:
                entry = await bucket.get(key)
            except KeyNotFoundError:
                continue
            record = decode_record(key, entry.value or b"")
            if not record.deleted:
                found[name] = record.object["spec"]["hosts"][0]
    except BucketNotFoundError:
        pass
    finally:
        await connection.close()
    return found


@pytest.fixture
def published(nats: NatsServer, galley: GalleyProcess) -> Callable[..., dict[str, str]]:
    """The first host of each of these VirtualServices that is in the bucket."""
    return lambda *names: asyncio.run(_published(nats.url, names))


@pytest.fixture
def client(api_server: ApiServer) -> Any:
    with api_server.client() as opened:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        assert opened.post("/api/v1/namespaces", json=namespace).status_code in (201, 409)
        yield opened


def test_definitions_are_established_and_structural(api_server: ApiServer) -> None:
    def pending() -> list[str]:
        with api_server.client() as client:
            items = client.get(DEFINITIONS).json()["items"]
        states = {
            item["metadata"]["name"]: {one["type"]: one["status"] for one in item["status"].get("conditions") or ()}
            for item in items
        }
        assert states
        assert not [name for name, state in states.items() if state.get("NonStructuralSchema") == "True"]
        return [name for name, state in states.items() if state.get("Established") != "True"]

    wait_until("every definition is established", lambda: not pending())


def test_objects_of_the_cluster_are_published_and_followed(
    client: httpx.Client, published: Callable[..., dict[str, str]]
) -> None:
    assert client.post(VS, json=virtual_service("a")).status_code == 201
    wait_until("it is published", lambda: published("a") == {"a": "reviews.shop.svc.cluster.local"})
    client.patch(f"{VS}/a", json={"spec": {"hosts": ["ratings"]}}, headers=MERGE)
    wait_until("its change is published", lambda: published("a") == {"a": "ratings.shop.svc.cluster.local"})
    assert client.delete(f"{VS}/a").status_code == 200
    wait_until("it is gone", lambda: published("a") == {})


def test_what_happened_while_nobody_watched_is_made_up_for(
    api_server: ApiServer, galley: GalleyProcess, client: httpx.Client, published: Callable[..., dict[str, str]]
) -> None:
    for name in ("kept", "lost"):
        assert client.post(VS, json=virtual_service(name)).status_code == 201
    wait_until("both are published", lambda: set(published("kept", "lost")) == {"kept", "lost"})
    version = client.get(VS).json()["metadata"]["resourceVersion"]
    galley.send(signal.SIGSTOP)
    try:
        client.delete(f"{VS}/lost")
        client.post(VS, json=virtual_service("new"))
        # the server that comes back remembers nothing from before its start: whoever resumes is told 410
        api_server.kill_server()
        api_server.start()
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "1"}
        with api_server.client() as again:
            first = json.loads(again.get(VS, params=query).text.splitlines()[0])
        assert (first["type"], first["object"]["code"]) == ("ERROR", 410)
    finally:
        galley.send(signal.SIGCONT)
    wait_until("the kind is listed again", lambda: set(published("kept", "lost", "new")) == {"kept", "new"})


def test_the_source_waits_for_a_server_that_is_away(
    api_server: ApiServer, galley: GalleyProcess, client: httpx.Client, published: Callable[..., dict[str, str]]
) -> None:
    client.post(VS, json=virtual_service("before"))
    wait_until("it is published", lambda: set(published("before")) == {"before"})

    def sources() -> str:
        return httpx.get(f"{galley.admin_url}/debug/sourcez", headers=bearer(), trust_env=False, timeout=60).text

    api_server.kill_server()
    wait_until("the page says that the server is away", lambda: "ConnectError" in sources())
    assert set(published("before")) == {"before"}
    api_server.start()
    with api_server.client() as again:
        assert again.post(VS, json=virtual_service("after")).status_code == 201
    wait_until("changes arrive again", lambda: set(published("before", "after")) == {"before", "after"})
    wait_until("the page has forgotten it", lambda: "ConnectError" not in sources())


def test_the_webhook_refuses_through_kubectl(
    api_server: ApiServer, galley: GalleyProcess, client: httpx.Client
) -> None:
    rule = {
        "apiGroups": ["networking.istio.io", "security.istio.io"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["*"],
    }
    webhook = {
        "name": "rev.validation.istio.io",
        "clientConfig": {
            "url": f"{galley.webhook_url}/validate",
            "caBundle": base64.b64encode(galley.ca.root_pem).decode(),
        },
        "rules": [rule],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "istio-validator"},
        "webhooks": [webhook],
    }
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    assert client.post(path, json=configuration).status_code == 201

    def create(document: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "--kubeconfig", str(api_server.kubeconfig), "create", "-f", "-"]
        cache = f"--cache-dir={api_server.directory / 'cache'}"
        return subprocess.run([*command, cache], input=yaml.safe_dump(document), capture_output=True, text=True)

    def refused() -> bool:
        tried = create(virtual_service("wrong", "b_a"))
        if not tried.returncode:
            client.delete(f"{VS}/wrong")
            return False
        assert 'admission webhook "rev.validation.istio.io" denied the request' in tried.stderr, tried.stderr
        assert "spec.hosts[0]" in tried.stderr
        return True

    try:
        wait_until("the webhook is asked", refused)
        passed = create(virtual_service("right"))
        assert passed.returncode == 0, passed.stderr
    finally:
        client.delete(f"{path}/istio-validator")
