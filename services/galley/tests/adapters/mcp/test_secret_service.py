"""The watch of Secrets: Pilot alone, by reference, for proxies of the Secret's own namespace, and as it changes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from galley.adapters.mcp import start_mcp
from galley.adapters.secret_service import secret_handler
from galley.adapters.store import Store
from galley.core.mcp.access import AllowedIdentities
from galley.core.sealing import Vault
from galley.core.storage import Verb, WriteOp
from galley.settings import GalleySettings
from meshcore._generated.meshcore.secrets.v1 import secrets_pb2, secrets_pb2_grpc
from meshcore.distribution.keys import Key
from meshcore.runtime import Runtime, running
from meshcore.testing.authorities import Authority, crl_pem
from meshcore.testing.identity import TestCa, make_ca
from meshcore.tls import LiveIdentity, ServiceIdentity, grpc_channel_credentials

PILOT = "spiffe://cluster.local/ns/istio-system/sa/pilot"
GATEWAY = "spiffe://cluster.local/ns/edge/sa/ingress"
DEADLINE = 60
State = secrets_pb2.SecretUpdate


def write(verb: Verb, data: dict[str, bytes] | None = None, namespace: str = "edge") -> WriteOp:
    encoded = {key: base64.b64encode(value).decode() for key, value in (data or {}).items()}
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "cert", "namespace": namespace},
        "data": encoded,
    }
    return WriteOp(verb, Key("", "secrets", namespace, "cert"), None if verb is Verb.DELETE else document)


class Watch:
    def __init__(self, call: Any) -> None:
        self.call = call

    async def ask(self, namespace: str = "edge", *requesters: str) -> None:
        reference = secrets_pb2.Reference(namespace=namespace, name="cert", requesters=requesters or (GATEWAY,))
        await self.call.write(secrets_pb2.WatchRequest(subscribe=[reference]))

    async def leave(self) -> None:
        reference = secrets_pb2.Reference(namespace="edge", name="cert")
        await self.call.write(secrets_pb2.WatchRequest(unsubscribe=[reference]))

    async def next(self) -> Any:
        """The next update of a Secret."""
        while not (update := await self.anything()).name:
            continue
        return update

    async def anything(self) -> Any:
        async with asyncio.timeout(DEADLINE):
            update = await self.call.read()
        assert update is not grpc.aio.EOF
        return update


class Galley:
    def __init__(self, store: Store, ca: TestCa, identity: LiveIdentity, port: int) -> None:
        self.store, self.ca, self.identity, self._port = store, ca, identity, port

    @asynccontextmanager
    async def watch(self, spiffe: str | None = PILOT, shown: ServiceIdentity | None = None) -> AsyncIterator[Watch]:
        credentials = grpc_channel_credentials(shown or self.ca.issue(spiffe))
        async with grpc.aio.secure_channel(f"127.0.0.1:{self._port}", credentials) as channel:
            yield Watch(secrets_pb2_grpc.SecretServiceStub(channel).Watch())


@pytest.fixture
async def galley(tmp_path) -> AsyncIterator[Galley]:
    ca = make_ca()
    identity = LiveIdentity(ca.issue("spiffe://cluster.local/ns/istio-system/sa/galley"))
    settings = GalleySettings(host="127.0.0.1", mcp_port=0)
    vault = Vault.of_text(base64.b64encode(bytes(range(32))).decode())
    async with await Store.open(f"sqlite+aiosqlite:///{tmp_path / 'galley.db'}", vault=vault) as store:

        async def build(runtime: Runtime[GalleySettings]) -> None:
            allowed = AllowedIdentities.parse(settings.pilot_identity)
            await start_mcp(runtime, store, identity, [secret_handler(store, allowed, settings.trust_domain, identity)])

        async with running(settings, build) as runtime:
            yield Galley(store, ca, identity, runtime.ports["mcp"])


async def test_a_secret_as_it_is_and_as_it_changes(galley: Galley) -> None:
    await galley.store.write([write(Verb.CREATE, {"tls.crt": b"chain", "tls.key": b"key", "password": b"x"})], "ada")
    async with galley.watch() as watch:
        await watch.ask()
        first = await watch.next()
        assert (first.state, dict(first.data)) == (State.PRESENT, {"tls.crt": b"chain", "tls.key": b"key"})
        await galley.store.write([write(Verb.UPDATE, {"tls.crt": b"next"})], "ada")
        second = await watch.next()
        assert (second.state, dict(second.data)) == (State.PRESENT, {"tls.crt": b"next"})
        assert second.resource_version != first.resource_version
        await galley.store.write([write(Verb.DELETE)], "ada")
        assert (await watch.next()).state == State.ABSENT
        await galley.store.write([write(Verb.CREATE, {"cert": b"again"})], "ada")
        assert dict((await watch.next()).data) == {"cert": b"again"}


async def test_a_revoked_certificate_gets_no_secret(galley: Galley) -> None:
    """Attack 17."""
    stolen, good = galley.ca.issue(PILOT), galley.ca.issue(PILOT)
    authority = Authority("root", galley.ca.key, galley.ca.certificate)
    lists = crl_pem(authority, [stolen.certificate.serial_number])
    async with galley.watch(shown=stolen) as open_before:
        await open_before.ask()
        assert (await open_before.next()).state == State.ABSENT
        galley.identity.replace(replace(galley.identity.current, revoked=lists))
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await open_before.next()
    assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
    async with galley.watch(shown=stolen) as watch:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await watch.next()
    assert (refused.value.code(), refused.value.details()) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "the client certificate is revoked",
    )
    async with galley.watch(shown=good) as watch:
        await watch.ask()
        assert (await watch.next()).state == State.ABSENT


async def test_what_nobody_asked_for_is_not_told(galley: Galley) -> None:
    async with galley.watch() as watch:
        await watch.ask()
        assert (await watch.next()).state == State.ABSENT
        await galley.store.write([write(Verb.CREATE, {"cert": b"1"}, namespace="books")], "ada")
        await galley.store.write([write(Verb.CREATE, {"cert": b"2"})], "ada")
        assert dict((await watch.next()).data) == {"cert": b"2"}
        await watch.leave()
        await watch.ask("books", "spiffe://cluster.local/ns/books/sa/x")
        assert dict((await watch.next()).data) == {"cert": b"1"}
        await galley.store.write([write(Verb.UPDATE, {"cert": b"3"})], "ada")
        await galley.store.write([write(Verb.UPDATE, {"cert": b"4"}, namespace="books")], "ada")
        assert dict((await watch.next()).data) == {"cert": b"4"}


async def test_behind_the_updates_of_a_revision_its_number_is_told(galley: Galley) -> None:
    async with galley.watch() as watch:
        await watch.ask()
        assert (await watch.anything()).state == State.ABSENT
        await galley.store.write([write(Verb.CREATE, {"cert": b"1"}, namespace="books")], "ada")
        unseen = await watch.anything()
        assert (unseen.namespace, unseen.name, dict(unseen.data)) == ("", "", {})
        assert int(unseen.resource_version) == await galley.store.revision()
        await galley.store.write([write(Verb.CREATE, {"cert": b"2"})], "ada")
        seen, number = await watch.anything(), await watch.anything()
        assert (seen.name, number.name) == ("cert", "")
        assert seen.resource_version == number.resource_version


async def test_identities_of_an_alias_of_the_trust_domain_are_as_good(galley: Galley) -> None:
    await galley.store.write([write(Verb.CREATE, {"cert": b"1"})], "ada")
    old = GATEWAY.replace("cluster.local", "old.example")
    async with galley.watch() as watch:
        await watch.ask("edge", old)
        assert (await watch.next()).state == State.REFUSED
        for text, state in (("trustDomainAliases: [old.example]", State.PRESENT), ("]", State.REFUSED)):
            config = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "istio", "namespace": "istio-system"},
            }
            verb = Verb.CREATE if state == State.PRESENT else Verb.UPDATE
            key = Key("", "configmaps", "istio-system", "istio")
            await galley.store.write([WriteOp(verb, key, {**config, "data": {"mesh": text}})], "ada")
            await watch.ask("edge", old, GATEWAY)
            assert (await watch.next()).state == state


@pytest.mark.parametrize(
    "requesters",
    [
        ("spiffe://cluster.local/ns/books/sa/x",),
        (GATEWAY, "spiffe://cluster.local/ns/books/sa/x"),
        ("spiffe://elsewhere/ns/edge/sa/ingress",),
        ("edge",),
    ],
)
async def test_only_for_proxies_of_its_own_namespace(galley: Galley, requesters: tuple[str, ...]) -> None:
    await galley.store.write([write(Verb.CREATE, {"cert": b"1"})], "ada")
    async with galley.watch() as watch:
        await watch.ask("edge", *requesters)
        refused = await watch.next()
        assert (refused.state, dict(refused.data), refused.resource_version) == (State.REFUSED, {}, "")


@pytest.mark.parametrize("spiffe", [GATEWAY, "spiffe://cluster.local/ns/edge/sa/pilot", None])
async def test_only_to_pilot(galley: Galley, spiffe: str | None) -> None:
    async with galley.watch(spiffe) as watch:
        await watch.ask()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.next()
        assert caught.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
