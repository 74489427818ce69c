"""Where Envoy fetches keys itself, keys that are renewed soon, and a Pilot that starts while an issuer is away.

A mesh of its own: one workload, and a Pilot with other settings.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from mesh import ROWS, Mesh, shared_workloads, wait_until
from meshcore.testing.key_server import KeyServer, key_server


@pytest.fixture(scope="module")
def issuer() -> Iterator[KeyServer]:
    with key_server(ROWS.mint.key_set) as server:
        yield server


@pytest.fixture(scope="module")
def apart(issuer: KeyServer) -> Iterator[Mesh]:
    mesh = Mesh([entry for entry in shared_workloads() if entry["name"] == "ledger"])
    mesh.environment |= {"PILOT_JWT_ENABLE_REMOTE_JWKS": "true", "PILOT_JWT_PUB_KEY_REFRESH_INTERVAL": "1s"}
    port = int(issuer.url.rpartition(":")[2])
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "issuer", "namespace": "books"},
        "spec": {
            "hosts": ["issuer.test"],
            "ports": [{"number": port, "name": "http", "protocol": "HTTP"}],
            "resolution": "STATIC",
            "location": "MESH_EXTERNAL",
            "endpoints": [{"address": "127.0.0.1"}],
        },
    }
    rules = [{"issuer": "bank.test", "jwksUri": f"http://issuer.test:{port}/bank"}, {"issuer": f"{issuer.url}/mint"}]
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "tokens", "namespace": "books"},
        "spec": {"jwtRules": rules},
    }
    ledger = [item for item in ROWS.config if item["metadata"]["name"] == "ledger"]
    try:
        mesh.start()
        mesh.converged(mesh.change([*ledger, entry, policy]))
        yield mesh
    finally:
        mesh.close()


def status(mesh: Mesh, token: str) -> int:
    headers = {"host": "ledger.books", "authorization": f"Bearer {token}"}
    url = f"http://{mesh.stack.proxy(1)}:9080/"
    return httpx.get(url, headers=headers, trust_env=False, timeout=60).status_code


def told(mesh: Mesh) -> bool:
    """Whether the ledger's proxy has everything from the Pilot that runs now."""
    rows = (row for row in mesh.pilot().sync_status() if row["proxy"].startswith("ledger") and row["synced"])
    return any(row["resources"].get("lds", {}).get("held") for row in rows)


def test_envoy_fetches_keys_through_a_service_of_the_mesh(apart: Mesh, issuer: KeyServer) -> None:
    """Nobody but the proxy knows where issuer.test is."""
    assert status(apart, ROWS.mint.token("ann")) == 200
    assert status(apart, ROWS.mint.token("of-another-key")) == 401
    assert issuer.asked["/bank"] >= 1


def test_keys_that_an_issuer_replaces_are_replaced_in_the_proxies(apart: Mesh, issuer: KeyServer) -> None:
    token = ROWS.mint.token("of-a-discovered-issuer", issuer.url)
    assert status(apart, token) == 200
    issuer.answers["/mint"] = lambda: (200, {}, ROWS.mint.key_set("stranger").encode())
    wait_until("the old key is gone", lambda: status(apart, token) == 401)
    del issuer.answers["/mint"]
    wait_until("the key is there again", lambda: status(apart, token) == 200)


def test_attack_32_keys_outlive_a_restart_of_pilot_while_the_issuer_is_away(apart: Mesh, issuer: KeyServer) -> None:
    token = ROWS.mint.token("of-a-discovered-issuer", issuer.url)
    assert status(apart, token) == 200
    # a source is asked again only after what it said has been stored
    asked = issuer.asked["/mint"]
    wait_until("the keys are stored", lambda: issuer.asked["/mint"] >= asked + 2)
    issuer.answers["/mint"] = lambda: (503, {}, b"")
    apart.kill("pilot")
    apart.up()
    wait_until("the proxy is told by the new Pilot", lambda: told(apart))
    assert status(apart, token) == 200
    assert status(apart, ROWS.mint.token("of-the-mint")) == 401
