"""Issuers that come and go while a mesh runs: what callers see, and what the author of the policy is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from mesh import ROWS, Mesh, wait_until
from meshcore.model.kinds import by_kind
from meshcore.testing.key_server import KeyServer

KIND = by_kind("security.istio.io/v1", "RequestAuthentication")


@contextmanager
def policy(mesh: Mesh, uri: str) -> Iterator[None]:
    """The ledger takes tokens of the bank."""
    document = {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "late", "namespace": "books"},
        "spec": {"jwtRules": [{"issuer": "bank.test", "jwksUri": uri}]},
    }
    mesh.converged(mesh.change([document]))
    try:
        yield
    finally:
        mesh.converged(mesh.change([], delete=[document]))


def status(mesh: Mesh, token: str) -> int:
    """Of a request straight to the ledger's proxy, over a connection of its own."""
    number = [workload.name for workload in ROWS.workloads].index("ledger") + 1
    headers = {"host": "ledger.books"} | ({"authorization": f"Bearer {ROWS.mint.token(token)}"} if token else {})
    url = f"http://{mesh.stack.proxy(number)}:9080/"
    return httpx.get(url, headers=headers, trust_env=False, timeout=60).status_code


def condition(mesh: Mesh) -> Mapping[str, Any]:
    live = mesh.config.read(KIND, "books", "late")
    return next(iter(live.get("status", {}).get("conditions", [])), {})


def test_attack_32_an_issuer_that_is_away_holds_up_nobody_and_its_tokens_work_when_it_comes(
    mesh: Mesh, issuers: KeyServer
) -> None:
    issuers.answers["/late"] = lambda: (503, {}, b"")
    with policy(mesh, f"{issuers.url}/late"):
        assert (status(mesh, "ann"), status(mesh, ""), status(mesh, "of-another-key")) == (401, 200, 401)
        issuers.answers["/late"] = lambda: (200, {}, ROWS.mint.key_set("bank").encode())
        wait_until("the tokens are taken", lambda: status(mesh, "ann") == 200)
        assert (status(mesh, ""), status(mesh, "of-another-key")) == (200, 401)


def test_the_author_is_told_that_keys_are_not_fetched(mesh: Mesh, issuers: KeyServer) -> None:
    issuers.answers["/never"] = lambda: (404, {}, b"")
    with policy(mesh, f"{issuers.url}/never"):
        told = wait_until("the status says it", lambda: condition(mesh))
        assert told["reason"] == "KeysNotFetched"
        assert told["status"] == "False"
        assert f"bank.test at {issuers.url}/never are not fetched: the answer has status 404" in told["message"]
