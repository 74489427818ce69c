"""Key sets over real sockets: every way in which an issuer can misbehave ends in a reason, in time (attack 32)."""

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
from datetime import timedelta

import pytest
from meshcore.fetch_guard import parse_networks
from meshcore.testing.identity import make_ca, write_identity
from meshcore.testing.key_server import DISCOVERY, key_server
from pilot.adapters.issuer_fetch import IssuerFetch, NotFetched
from pilot.core.issuer_keys import LARGEST_DOCUMENT, KeySource

X, Y = "RjLyiQKbTw8VRXC4xcbUDl1OoHtSm2orq1uNk8ApgTs", "EvpkPkwAvKNv6K11YRHAKT4P0GufNX6Sc4Vh7AmLIZE"
"""A point of P-256."""
SOON = timedelta(seconds=60)
KEYS = json.dumps({"keys": [{"kty": "EC", "kid": "a", "crv": "P-256", "x": X, "y": Y}]}, sort_keys=True)


def key_set(name):
    if name != "bank":
        raise KeyError(name)
    return KEYS


@pytest.fixture
def issuers():
    with key_server(key_set) as server:
        yield server


@contextlib.asynccontextmanager
async def served(handle, tls=None):
    """A server whose connections are all over when the block is; its port."""
    running = set()

    async def tracked(reader, writer):
        running.add(asyncio.current_task())
        try:
            await handle(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(tracked, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*running)


def fetch(*blocked):
    return IssuerFetch(None, parse_networks(",".join(blocked)))


async def test_keys_come_from_the_uri(issuers):
    assert await fetch().keys(KeySource("bank.test", f"{issuers.url}/bank"), SOON) == KEYS


async def test_without_a_uri_the_issuer_tells_where_they_are(issuers):
    assert await fetch().keys(KeySource(f"{issuers.url}/bank", ""), SOON) == KEYS


async def test_a_name_is_resolved_and_the_server_is_told_it(issuers):
    port = issuers.url.rpartition(":")[2]
    assert await fetch().keys(KeySource("bank.test", f"http://localhost:{port}/bank"), SOON) == KEYS


async def test_a_redirect_is_followed(issuers):
    issuers.answers["/moved"] = lambda: (302, {"location": "/bank"}, b"")
    assert await fetch().keys(KeySource("bank.test", f"{issuers.url}/moved"), SOON) == KEYS


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, {}, b"no"), "status 404"),
        ((200, {"content-type": "text/html"}, b"<html>sign in</html>"), "not JSON"),
        ((200, {}, b'{"keys": []}'), "no public key"),
        ((200, {}, b" " * (LARGEST_DOCUMENT + 1)), "more than"),
        ((200, {"content-encoding": "gzip"}, gzip.compress(b" " * 50_000_000)), "compressed"),
        ((302, {"location": "/odd"}, b""), "redirects more than"),
        ((302, {"location": "http://169.254.169.254/latest/meta-data"}, b""), "out of bounds"),
        ((302, {"location": "file:///etc/passwd"}, b""), "no http"),
    ],
)
async def test_attack_32_what_is_no_key_set_is_a_reason(issuers, answer, reason):
    issuers.answers["/odd"] = lambda: answer
    with pytest.raises(NotFetched, match=reason):
        await fetch().keys(KeySource("bank.test", f"{issuers.url}/odd"), SOON)


@pytest.mark.parametrize("uri", ["http://169.254.169.254/keys", "http://[fe80::1]/keys", "http://[::ffff:a9fe:a9fe]/"])
async def test_attack_32_metadata_addresses_are_not_dialled(uri):
    with pytest.raises(NotFetched, match="out of bounds"):
        await fetch().keys(KeySource("bank.test", uri), SOON)


async def test_attack_32_what_the_operator_blocks_is_not_dialled_by_name_either(issuers):
    port = issuers.url.rpartition(":")[2]
    with pytest.raises(NotFetched, match="out of bounds"):
        await fetch("127.0.0.0/8", "::1/128").keys(KeySource("bank.test", f"http://localhost:{port}/bank"), SOON)
    assert not issuers.asked


async def test_attack_32_a_name_that_changes_its_address_after_the_check_is_dialled_where_it_was_checked(
    issuers, monkeypatch
):
    """DNS rebinding: the second answer would be the metadata service."""
    port = int(issuers.url.rpartition(":")[2])
    answers = iter(["127.0.0.1", "169.254.169.254"])
    resolve = asyncio.get_running_loop().getaddrinfo

    async def rebinding(host, *arguments, **more):
        return await resolve(next(answers) if host == "rebinding.test" else host, *arguments, **more)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebinding)
    assert await fetch().keys(KeySource("bank.test", f"http://rebinding.test:{port}/bank"), SOON) == KEYS
    with pytest.raises(NotFetched, match="out of bounds"):
        await fetch().keys(KeySource("bank.test", f"http://rebinding.test:{port}/bank"), SOON)


async def test_attack_32_an_issuer_that_never_ends_its_answer_is_given_up_in_time():
    async def drip(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
        await writer.drain()
        await reader.read()  # until the client gives up

    async with served(drip) as port:
        with pytest.raises(NotFetched, match=r"no answer within 0\.3 s"):
            await fetch().keys(KeySource("bank.test", f"http://127.0.0.1:{port}/"), timedelta(seconds=0.3))


async def test_an_issuer_that_is_away_is_a_reason():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(NotFetched, match="ConnectError"):
            await fetch().keys(KeySource("bank.test", f"http://127.0.0.1:{port}/"), SOON)


@pytest.mark.parametrize("issuer", ["bank.test", "ftp://bank.test", "https://", "http://[::1", "urn:bank"])
async def test_an_issuer_that_is_no_url_cannot_be_discovered(issuer):
    with pytest.raises(NotFetched):
        await fetch().keys(KeySource(issuer, ""), SOON)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"issuer": "http://other.test", "jwks_uri": "http://127.0.0.1/"}, "another issuer"),
        ({"jwks_uri": 7}, "names no jwks_uri"),
        ([], "names no jwks_uri"),
        (b"[" * 500_000, "RecursionError"),
        (b"\xff", "UnicodeDecodeError"),
    ],
)
async def test_a_discovery_document_that_is_not_the_issuers_is_refused(issuers, document, reason):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    issuers.answers[f"/bank{DISCOVERY}"] = lambda: (200, {}, body)
    with pytest.raises(NotFetched, match=reason):
        await fetch().keys(KeySource(f"{issuers.url}/bank", ""), SOON)


async def test_a_server_must_prove_the_name_of_the_uri(tmp_path):
    ca, stranger = make_ca(), make_ca()
    (tmp_path / "trusted.pem").write_bytes(ca.root_pem)
    for signer, name, good in ((ca, "localhost", True), (ca, "other.test", False), (stranger, "localhost", False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        directory = write_identity(tmp_path / f"{name}-{good}", signer.issue(None, dns=[name]))
        context.load_cert_chain(directory / "cert-chain.pem", directory / "key.pem")
        trusting = IssuerFetch(tmp_path / "trusted.pem")
        async with served(answer_with_keys, context) as port:
            asked = trusting.keys(KeySource("bank.test", f"https://localhost:{port}/"), SOON)
            if good:
                assert await asked == KEYS
            else:
                with pytest.raises(NotFetched, match="CERTIFICATE_VERIFY_FAILED"):
                    await asked


async def answer_with_keys(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(KEYS)}\r\nconnection: close\r\n\r\n{KEYS}".encode())
    await writer.drain()
