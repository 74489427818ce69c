"""What proxies refuse is told in the status of the object that made it: few writes, no loop, cleared when mended. And
nothing but the refused part stays as it was."""

from __future__ import annotations

import asyncio
import contextlib
import re
from contextlib import AsyncExitStack
from typing import Any

import httpx
from mesh import Mesh, virtual_service, wait_until
from meshcore.errors import MeshError
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.types import ROUTE_TYPE

SPACE = "refusing"
STREAMS = 200
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {
        "name": "odd",
        "namespace": SPACE,
        "annotations": {"networking.istio.io/exportTo": "."},
    },
    "spec": {"clusterIP": "10.9.9.9", "ports": [{"name": "http", "port": 80}]},
}
HOST = f"odd.{SPACE}.svc.cluster.local"


def rules(seconds: int) -> dict[str, Any]:
    made = virtual_service("odd", [{"timeout": f"{seconds}s", "route": [{"destination": {"host": "odd"}}]}], SPACE)
    made["spec"]["exportTo"] = ["."]
    return made


def writes(mesh: Mesh) -> float:
    """Statuses that the stack's Pilot has written."""
    text = httpx.get(f"http://{mesh.stack.pilot()}:15014/metrics", timeout=60, trust_env=False).text
    return sum(float(value) for value in re.findall(r"^pilot_status_writes\{[^}]*\} (\S+)$", text, re.MULTILINE))


def condition(mesh: Mesh) -> dict[str, Any]:
    live = mesh.config.read_document(rules(1))
    return dict(next(iter((live.get("status") or {}).get("conditions", ())), {}))


async def test_two_hundred_refusals_are_a_few_writes_of_status(mesh: Mesh) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
    for document in (namespace, SERVICE, rules(1)):
        mesh.config.apply(document)
    looks, before = _beats(mesh), writes(mesh)
    generation = mesh.config.read_document(rules(1))["metadata"]["generation"]
    async with AsyncExitStack() as stack:
        clients = [
            AdsClient(f"{mesh.stack.pilot()}:15010", node(f"odd-{number}", SPACE, service_account="odd"))
            for number in range(STREAMS)
        ]
        for one in clients:
            one.refuse[ROUTE_TYPE] = f"the virtual host {HOST}:80 is not to my taste"
            await stack.enter_async_context(one)
        for one in clients:
            await one.until(lambda one=one: any(r.type_url == ROUTE_TYPE for r in one.responses), 60)
        told = await asyncio.to_thread(wait_until, "all are told of", lambda: _about(condition(mesh), STREAMS), 120)
        assert (told["type"], told["status"], told["reason"]) == ("Programmed", "False", "RefusedByProxies")
        assert "not to my taste" in told["message"]
        live = mesh.config.read_document(rules(1))
        assert live["metadata"]["generation"] == generation, "status is no new config"
        rows = [row for row in mesh.pilot().sync_status() if row["proxy"].endswith(f".{SPACE}")]
        assert len(rows) == STREAMS
        named = rows[0]["resources"]["rds"]["configs"]
        assert [text.partition("@")[0] for text in named][:1] == [f"VirtualService/{SPACE}/odd"]
        shown = await asyncio.to_thread(mesh.run_here, "proxy-status", f"odd-0.{SPACE}")
        assert f"VirtualService {SPACE}/odd" in shown.output
        # Streams come up over a few looks, as many as the machine needs; each look writes once at most (that under
        # way is counted at its end), and one that finds nothing new not at all.
        used = writes(mesh) - before
        assert 1 <= used <= min(_beats(mesh) - looks + 1, STREAMS / 4), used
        stayed = live["metadata"]["resourceVersion"]
        beats = _beats(mesh)
        await asyncio.to_thread(wait_until, "two more looks", lambda: _beats(mesh) >= beats + 2)
        assert mesh.config.read_document(rules(1))["metadata"]["resourceVersion"] == stayed, "nothing changed, no write"
        for one in clients:
            one.refuse.clear()
        revision = mesh.config.apply(rules(2)).revision
        receipt = await asyncio.to_thread(mesh.pilot().receipt, revision, 60)
        assert receipt["failed"] == []
        await asyncio.to_thread(wait_until, "the status is cleared", lambda: not condition(mesh))
        assert writes(mesh) - before <= used + 3
    for document in (rules(1), SERVICE):
        mesh.config.delete(document)


def _about(found: dict[str, Any], count: int) -> dict[str, Any]:
    """The condition, once it speaks of that many proxies."""
    return found if f" and {count - 3} more refuse rds" in found.get("message", "") else {}


def _beats(mesh: Mesh) -> int:
    """How often the holder of the lease has looked."""
    text = httpx.get(f"http://{mesh.stack.pilot()}:15014/metrics", timeout=60, trust_env=False).text
    found = re.search(r"^pilot_status_looks (\S+)$", text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def answer(name: str, body: int) -> dict[str, Any]:
    """A host that proxies answer for by themselves."""
    made = virtual_service(name, [{"directResponse": {"status": 200, "body": {"string": str(body)}}}])
    made["spec"]["hosts"] = [f"{name}.refusing.example"]
    return made


SPOILER = {
    "apiVersion": "networking.istio.io/v1alpha3",
    "kind": "EnvoyFilter",
    "metadata": {"name": "spoiler", "namespace": "default"},
    "spec": {
        "configPatches": [
            {
                "applyTo": "VIRTUAL_HOST",
                "match": {"routeConfiguration": {"vhost": {"name": "spoiled.refusing.example:80"}}},
                "patch": {
                    "operation": "MERGE",
                    "value": {"response_headers_to_add": [{"header": {"key": "x", "value": "%NO_SUCH_OPERATOR%"}}]},
                },
            }
        ]
    },
}


def said(mesh: Mesh, name: str) -> Any:
    return mesh.get(f"http://{name}.refusing.example/").body


def test_a_route_that_envoys_refuse_costs_nobody_else_a_change(mesh: Mesh) -> None:
    objects = [answer("spoiled", 1), answer("sound", 1)]
    for document in objects:
        mesh.apply(document)
    try:
        assert said(mesh, "spoiled") == 1
        refused = mesh.config.apply(SPOILER).revision
        assert mesh.pilot().receipt(refused, 60)["failed"], "Envoy refuses it"
        for body in (2, 3, 4):
            taken = mesh.apply(answer("sound", body))
            assert taken.proxies > 0
            assert (said(mesh, "sound"), said(mesh, "spoiled")) == (body, 1), "the last good form, and all changes"
        told = wait_until("told of", lambda: mesh.config.read_document(SPOILER).get("status"))
        assert "NO_SUCH_OPERATOR" in told["conditions"][0]["message"]
        shown = mesh.run_here("proxy-status", "client.default").output
        assert "is not given spoiled.refusing.example:80 of http_proxy: the proxy has its last good form" in shown
        mesh.config.apply(answer("spoiled", 5))
        mesh.delete(SPOILER)
        assert said(mesh, "spoiled") == 5
    finally:
        with contextlib.suppress(MeshError):
            mesh.config.delete(SPOILER)
        for document in objects:
            mesh.delete(document)
