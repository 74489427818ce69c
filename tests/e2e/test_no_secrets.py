"""No private key, token or secret in any log, page, message or error: looked for behind all other tests of the session.

What is looked for is what the run really used: the keys, tokens and passwords of `init`, the root's key, the agents'
keys and tokens, Secrets in the config API, and what requests carried.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from citadel.adapters.database import open_database
from citadel.adapters.root_store import RootStore
from citadel.core.sealing import parse_keks
from cryptography.hazmat.primitives import serialization
from envoy_bootstrap.adapters.stored_state import StoredState
from mesh import ROWS, Mesh, virtual_service, wait_until
from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc
from meshcore.bus.connection import BusSettings, connect
from meshcore.errors import MeshError
from meshcore.identity import SpiffeId
from meshcore.testing.identity import make_ca
from meshcore.tls import ServiceIdentity, grpc_root_credentials
from meshctl.adapters.processes import records
from secret_search import SecretSearch

SERVICES = ("galley", "pilot", "citadel", "injector")
NAMESPACE, NAME, HOST = "edge", "looked-for", "looked-for.edge.test"
ENVOY_PAGES = ("/config_dump?include_eds", "/certs", "/clusters", "/listeners", "/server_info", "/stats", "/runtime")
AGENT_PAGES = ("/stats/prometheus", "/healthz/ready", "/audit", "/wasm?url=http://{word}@x.test/&sha256=00")
WITHOUT_AN_END = "/api/v1/changes/events"
PLAIN_FILES = ("token", "password", "kek", ".key")


def test_the_search_finds_a_secret_in_every_form_it_may_take() -> None:
    pair = make_ca().issue("spiffe://cluster.local/ns/a/sa/b")
    key = serialization.load_pem_private_key(pair.key.pem, password=None)
    number = key.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    pem = pair.key.pem
    search = SecretSearch()
    search.add_private_key("key", pem)
    search.add("token", b"a-token-of-someone")
    search.add("jwt", b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl")
    shown = {
        "PEM": pem,
        "one line": b"x" + pem.splitlines()[2] + b"y",
        "JSON": json.dumps({"key": pem.decode()}).encode(),
        "base64": b"{" + base64.b64encode(pem) + b"}",
        "base64 within": base64.b64encode(b"1" + pem + b"2"),
        "base64 within, too": base64.urlsafe_b64encode(b"12" + pem),
        "DER": key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "number": number,
        "number in hex": number.hex().encode(),
        "number in base64": base64.b64encode(number),
        "number in decimal": str(int.from_bytes(number, "big")).encode(),
        "token": b"Bearer a-token-of-someone.",
        "token in base64": base64.b64encode(b"user:a-token-of-someone"),
        "token in hex": b"a-token-of-someone".hex().encode(),
        "jwt": b"payload.c2lnbmF0dXJl",
    }
    for place, content in shown.items():
        assert search.found_in([(place, content)]), place
    nothing = [("certificate", pair.chain), ("claims", b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.")]
    assert search.found_in(nothing) == []


@pytest.mark.last
def test_nothing_that_a_mesh_shows_holds_a_secret(mesh: Mesh) -> None:
    search = SecretSearch()
    word = used(mesh, search)
    known(mesh, search)
    assert {"galley/key.pem", "citadel/kek", "the root", "admin-token", "galley/token-signing-key.pem"} <= search.names
    assert {"agent client", "agent edge", f"Secret {NAME} tls.key", "a bearer token", "a query"} <= search.names
    shown = [*messages(mesh), *pages(mesh), *proxies(mesh, word), *command_lines(mesh), *seen_files(mesh)]
    places = {place for place, _ in shown}
    assert {"log galley.log", "log edge.log", "citadel /api/v1/audit", "envoy edge /config_dump?include_eds"} <= places
    assert "pilot /debug/config_dump of edge.edge" in places
    assert any(place.startswith("message ") for place in places)
    assert any(place.startswith("stored message ") for place in places)
    # What is looked for was really there to be shown, and public parts of it are.
    assert any(HOST.encode() in content for place, content in shown if place.startswith("envoy edge"))
    assert search.found_in(shown) == []
    mesh.delete(gateway_object())
    mesh.config.delete(secret_object(None, ""))


# What the run used.


def secret_object(pair: ServiceIdentity | None, word: str) -> dict[str, Any]:
    data = {"word": word.encode()}
    if pair is not None:
        data |= {"tls.key": pair.key.pem, "tls.crt": pair.chain}
    encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
    metadata = {"name": NAME, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": encoded}


def gateway_object() -> dict[str, Any]:
    port = {"number": 443, "name": NAME, "protocol": "HTTPS"}
    server = {"port": port, "hosts": [HOST], "tls": {"mode": "SIMPLE", "credentialName": NAME}}
    metadata = {"name": NAME, "namespace": NAMESPACE}
    spec = {"selector": {"app": "edge"}, "servers": [server]}
    return {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": metadata, "spec": spec}


def used(mesh: Mesh, search: SecretSearch) -> str:
    """What requests, Secrets and mistakes carry from here on; the last of them is a word of a Secret."""
    bearer, query, bad, word = (f"{kind}-{secrets.token_hex(16)}" for kind in ("bearer", "query", "bad", "word"))
    search.add("a bearer token", bearer.encode())
    search.add("a query", query.encode())
    search.add("a token that is refused", bad.encode())
    search.add("a word of a Secret", word.encode())
    headers = {"authorization": f"Bearer {bearer}", "cookie": f"session={bearer}"}
    assert mesh.get(f"http://echo:9080/looked-for?key={query}", headers=headers).good
    signed = ROWS.mint.token("ann")
    search.add("a signed token", signed.encode())
    mesh.get("http://echo:9080/looked-for", headers={"authorization": f"Bearer {signed}"})
    for name in SERVICES:
        refused = httpx.get(
            f"{mesh.service(name)['admin']}/api/v1/audit", headers={"authorization": f"Bearer {bad}"}, trust_env=False
        )
        assert refused.status_code == 401
        assert bad not in refused.text
    asyncio.run(refused_by_citadel(mesh, bad))
    pair = make_ca("somebody").issue(None, dns=[HOST], ips=[])
    search.add_private_key(f"Secret {NAME} tls.key", pair.key.pem)
    mesh.config.apply(secret_object(pair, word))
    mesh.converged(mesh.config.apply(gateway_object()))
    mistaken = secret_object(pair, word)
    mistaken["data"]["word"] = f"{word}!"
    with pytest.raises(MeshError) as error:
        mesh.config.apply(mistaken)
    assert word not in str(error.value)
    served = lambda: NAME in envoy_page(mesh, "edge", "/config_dump")  # noqa: E731
    wait_until("the gateway has its certificate", served)
    return word


async def refused_by_citadel(mesh: Mesh, token: str) -> None:
    credentials = grpc_root_credentials(Path(mesh.layout.root_certificate).read_bytes())
    async with grpc.aio.secure_channel(f"{mesh.stack.citadel}:8060", credentials) as channel:
        stub = ca_pb2_grpc.IstioCertificateServiceStub(channel)
        headers = [("authorization", f"Bearer {token}")]
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.CreateCertificate(ca_pb2.IstioCertificateRequest(csr=token), metadata=headers, timeout=20)
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert token not in str(error.value)


def known(mesh: Mesh, search: SecretSearch) -> None:
    """Keys, tokens and passwords that lie in files of the stack, sealed or not."""
    identities = Path(mesh.layout.identities)
    for path in sorted(path for path in identities.rglob("*") if path.is_file()):
        name, content = str(path.relative_to(identities)), path.read_bytes()
        if b"PRIVATE KEY-----" in content:
            search.add_private_key(name, content[content.index(b"-----BEGIN") :])
        elif path.name == "nats-user.json":
            search.add(name, json.loads(content)["password"].encode())
        elif path.name.endswith(PLAIN_FILES):
            search.add(name, content)
    for key in asyncio.run(roots(identities / "citadel")):
        search.add_private_key("the root", key)
    for item in mesh.status()["workloads"]:
        state = Path(item["envoy_admin"]).parent
        key_file = mesh.layout.state_key(item["namespace"], item["name"])
        expected = SpiffeId("cluster.local", item["namespace"], item["service_account"])
        stored = StoredState.open(state, key_file).load_identity(expected)
        if stored is not None:
            search.add_private_key(f"agent {item['name']}", stored[0].key.pem)
        with contextlib.suppress(FileNotFoundError):
            search.add(f"token {item['name']}", (state / "token").read_bytes())


async def roots(directory: Path) -> list[bytes]:
    engine = await open_database(f"sqlite+aiosqlite:///{directory / 'citadel.db'}")
    try:
        stored = await RootStore(engine, lambda: parse_keks((directory / "kek").read_text())).load()
    finally:
        await engine.dispose()
    assert stored is not None
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return [one.key.private_bytes(*kinds) for one in (stored.root, stored.successor) if one is not None]


# What the mesh shows.


def seen_files(mesh: Mesh) -> list[tuple[str, bytes]]:
    """Logs, what NATS has stored, and what Pilot keeps for its next start."""
    found = [(f"log {name}", text.encode()) for name, text in mesh.logs()]
    root = Path(mesh.layout.root)
    found += [(f"stored message {path.name}", path.read_bytes()) for path in sorted(root.rglob("*.blk"))]
    kept = [path for path in sorted(Path(mesh.layout.state("pilot")).rglob("*")) if path.is_file()]
    return found + [(f"pilot's {path.name}", path.read_bytes()) for path in kept]


def pages(mesh: Mesh) -> Iterator[tuple[str, bytes]]:
    """Every page that a service documents, as its administrator sees it, and its errors."""
    token = Path(mesh.layout.admin_token).read_text().strip()
    for name in SERVICES:
        with httpx.Client(
            base_url=mesh.service(name)["admin"], headers={"authorization": f"Bearer {token}"}, trust_env=False
        ) as client:
            document = client.get("/openapi.json").raise_for_status()
            yield f"{name} /openapi.json", document.content
            for path in sorted(path for path, methods in document.json()["paths"].items() if "get" in methods):
                if path != WITHOUT_AN_END:
                    yield f"{name} {path}", client.get(_filled(path), timeout=30).content
    for item in mesh.status()["workloads"]:
        proxy = f"{item['name']}.{item['namespace']}"
        with contextlib.suppress(MeshError):  # one that has left, or that connects anew
            yield f"pilot /debug/config_dump of {proxy}", json.dumps(mesh.pilot().config_dump(proxy)).encode()


def _filled(path: str) -> str:
    """The page of the Secret where a page is an object's; else a page of something that is not there."""
    filled = path.replace("{group}", "core").replace("{plural}", "secrets")
    filled = filled.replace("{namespace}", NAMESPACE).replace("{name}", NAME)
    return re.sub(r"\{\w+\}", "0", filled)


def proxies(mesh: Mesh, word: str) -> Iterator[tuple[str, bytes]]:
    """Every page of every Envoy's administration, and of its agent."""
    for item in mesh.status()["workloads"]:
        name = item["name"]
        if not Path(item["envoy_admin"]).exists():
            continue
        for page in ENVOY_PAGES:
            yield f"envoy {name} {page}", envoy_page(mesh, name, page).encode()
        for page in AGENT_PAGES:
            answer = httpx.get(f"http://{item['address']}:15020{page.format(word=word)}", trust_env=False)
            yield f"agent {name} {page}", answer.content


def envoy_page(mesh: Mesh, name: str, page: str) -> str:
    socket = mesh.workload(name)["envoy_admin"]
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket), base_url="http://envoy") as client:
        return client.get(page, timeout=30).text


def command_lines(mesh: Mesh) -> Iterator[tuple[str, bytes]]:
    """What everybody on the machine can read of the processes."""
    for record in records(mesh.layout):
        with contextlib.suppress(FileNotFoundError):
            yield f"command line of {record.name}", Path(f"/proc/{record.pid}/cmdline").read_bytes()


def changed(mesh: Mesh) -> None:
    """Config that goes over NATS, and questions among Pilots."""
    made = virtual_service(HOST, [{"directResponse": {"status": 200}}], NAMESPACE)
    mesh.apply(made)
    assert mesh.run_here("proxy-status").exit_code == 0
    mesh.delete(made)


def messages(mesh: Mesh) -> list[tuple[str, bytes]]:
    """What NATS carries to and from every service while config changes and Pilots ask each other."""
    heard: list[tuple[str, bytes]] = []

    async def note(message: Any) -> None:
        heard.append((f"message {message.subject}", message.data + repr(message.headers).encode()))

    async def listen() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for service in SERVICES:
                user = Path(mesh.layout.identities) / service / "nats-user.json"
                settings = BusSettings(url=f"nats://{mesh.stack.nats}:4222", user_file=user, name="test")
                bus = await stack.enter_async_context(connect(settings))
                await bus.connected()
                subjects = [f"_INBOX.{service}.>"]
                subjects += {"galley": ["mesh.config.list"], "pilot": ["pilot.query.>"]}.get(service, [])
                for subject in subjects:
                    await bus.client.subscribe(subject, cb=note)
                await bus.client.flush()
            await asyncio.to_thread(changed, mesh)

    asyncio.run(listen())
    return heard
