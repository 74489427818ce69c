"""No private key, token or secret in any log, page, message or error: looked for behind all other tests of the session.

In this mesh with requests, Secrets and mistakes made for the purpose; in every other mesh when it is taken down
(`secret_places.leaks`).

What is looked for is what the run really used: the keys, tokens and passwords of `init`, the root's key, the agents'
keys and tokens, Secrets in the config API, and what requests carried.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from mesh import ROWS, Mesh, virtual_service, wait_until
from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc
from meshcore.bus.connection import BusSettings, connect
from meshcore.errors import MeshError
from meshcore.testing.identity import make_ca
from meshcore.tls import ServiceIdentity, grpc_root_credentials
from secret_places import (
    NAME,
    NAMESPACE,
    SERVICES,
    command_lines,
    envoy_page,
    known,
    pages,
    proxies,
    seen_files,
)
from secret_search import SecretSearch

HOST = "looked-for.edge.test"


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
        url = f"{mesh.service(name)['admin']}/api/v1/audit"
        refused = httpx.get(url, headers={"authorization": f"Bearer {bad}"}, trust_env=False, timeout=60)
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
            await stub.CreateCertificate(ca_pb2.IstioCertificateRequest(csr=token), metadata=headers, timeout=60)
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert token not in str(error.value)


# What the mesh shows.


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
