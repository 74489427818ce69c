"""The port with TLS as clients of OpenSSL and of gRPC see it, on the event loop of the services and on asyncio's."""

import asyncio
import contextlib
import ssl

import grpc
import pytest
from called import LARGEST, ask, on_either_loop, running
from meshcore.grpc_server import secured
from meshcore.http2 import frames
from meshcore.testing.authorities import Authority, issue_below, make_authority
from meshcore.testing.http2_client import FrameClient
from meshcore.testing.identity import make_ca
from meshcore.tls import LiveIdentity, ServiceIdentity, ssl_client_context, ssl_root_context
from wires import CA, CLIENT, OWN

PATIENCE = 60


async def opened(port: int, context: ssl.SSLContext) -> FrameClient:
    return await FrameClient.open("localhost", port, context)


async def that_reads_nothing(port: int) -> FrameClient:
    """A client that may be sent as much as it wants, and does not take it."""
    settings = {frames.INITIAL_WINDOW_SIZE: frames.LARGEST_WINDOW}
    client = await FrameClient.open("localhost", port, ssl_root_context(CA.root_pem), settings)
    client.writer.write(frames.window_update(0, frames.LARGEST_WINDOW - frames.FIRST_WINDOW))
    client.writer.transport.pause_reading()
    return client


async def told(found, client: FrameClient) -> bytes:
    """What the server knows of a client."""
    client.call(1, "/t/Story", headers=(("who", "me"),))
    return (await client.until(frames.DATA, 1))[3]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("identity", [CLIENT, None], ids=["certificate", "none"])
@on_either_loop
async def test_either_version_of_tls_with_and_without_a_certificate(version, identity):
    context = ssl_root_context(CA.root_pem) if identity is None else ssl_client_context(identity)
    context.minimum_version = context.maximum_version = version
    async with running() as found:
        client = await opened(found.port, context)
        assert f"me {identity is not None} ".encode() in await told(found, client)
        tls = client.writer.get_extra_info("ssl_object")
        assert tls.selected_alpn_protocol() == "h2"
        assert tls.version() == version.name.replace("_", ".")
        client.close()


@on_either_loop
async def test_large_messages_go_both_ways_at_once():
    async with running() as found, found.channel(CLIENT) as channel:

        async def talk(byte: bytes) -> None:
            stream = channel.stream_stream("/t/Talk")(timeout=PATIENCE)
            for _ in range(10):
                await stream.write(byte * (LARGEST - 10))
                assert await stream.read() == byte * (LARGEST - 10)
            await stream.done_writing()
            assert await stream.code() is grpc.StatusCode.OK

        await asyncio.gather(*(talk(bytes([number])) for number in range(8)))


@on_either_loop
async def test_who_reads_slowly_gets_everything_and_little_lies_here():
    async with running() as found:
        client = await that_reads_nothing(found.port)
        client.call(1, "/t/Lecture", ended=False)
        async with found.channel() as channel:
            assert await ask(channel, "Echo", b"x") == b"x"
        client.writer.transport.resume_reading()
        read = 0
        while read < 64 * (5 + 64 * 1024):
            kind, _, _, payload = await client.next()
            read += len(payload) if kind == frames.DATA else 0
        assert found.methods.written == 64
        client.close()


@pytest.mark.parametrize("certificates", ["optional", "required"])
@on_either_loop
async def test_a_certificate_of_others_is_refused_and_none_where_one_is_needed(certificates):
    stranger = ssl_client_context(make_ca("stranger").issue("spiffe://cluster.local/ns/a/sa/client"))
    stranger.load_verify_locations(cadata=CA.root_pem.decode())
    async with running(certificates=certificates) as found:
        refused = [stranger] + [ssl_root_context(CA.root_pem)] * (certificates == "required")
        for context in refused:
            client = await opened(found.port, context)
            with pytest.raises(ssl.SSLError, match=r"alert|ALERT"):
                # With TLS 1.3 a client is done before the server has looked at its certificate.
                await client.reader.read()
            client.close()
        client = await opened(found.port, ssl_client_context(CLIENT))
        assert b"me True " in await told(found, client)
        client.close()


@on_either_loop
async def test_what_stands_between_a_certificate_and_the_root_is_part_of_the_chain():
    between = make_authority("between", Authority("root", CA.key, CA.certificate))
    lower = issue_below(between, CA, "spiffe://cluster.local/ns/a/sa/client")
    async with running(certificates="required") as found:
        client = await opened(found.port, ssl_client_context(lower))
        assert b"me True " in await told(found, client)
        client.close()


@on_either_loop
async def test_connections_take_renewed_certificates_and_new_roots_and_open_ones_go_on():
    other = make_ca("other")
    live = LiveIdentity(OWN)
    renewed = other.issue("spiffe://cluster.local/ns/a/sa/server")
    async with running(identity=live, certificates="required") as found:
        before = await opened(found.port, ssl_client_context(CLIENT))
        assert b"me True " in await told(found, before)
        live.replace(ServiceIdentity(renewed.key, renewed.chain, other.root_pem))
        with pytest.raises(ssl.SSLCertVerificationError):
            await opened(found.port, ssl_client_context(CLIENT))
        after = await opened(found.port, ssl_client_context(other.issue("spiffe://cluster.local/ns/a/sa/client")))
        assert b"me True " in await told(found, after)
        before.call(3, "/t/Echo")
        await before.until(frames.DATA, 3)
        before.close()
        after.close()


@on_either_loop
async def test_attack_12_who_speaks_no_tls_or_never_ends_a_handshake_is_ended_and_others_are_served(monkeypatch):
    monkeypatch.setattr(secured, "HANDSHAKE_TIMEOUT", 0.5)
    monkeypatch.setattr(secured, "LINGER", 0.5)
    async with running() as found, found.channel(CLIENT) as channel:
        words = (b"", b"\x16\x03\x01\x02\0\1", b"GET / HTTP/1.1\r\n\r\n", frames.PREFACE, bytes(100_000))
        strangers = [await asyncio.open_connection("localhost", found.port) for _ in words]
        for (_, writer), said in zip(strangers, words, strict=True):
            writer.write(said)
        # A busy machine may not have done its own handshake in time, and does another.
        assert await ask(channel, "Echo", b"x", wait_for_ready=True) == b"x"
        for reader, writer in strangers:
            async with asyncio.timeout(PATIENCE):
                with contextlib.suppress(ConnectionError):
                    assert len(await reader.read()) < 100
            writer.close()
        assert await ask(channel, "Echo", b"x") == b"x"


@on_either_loop
async def test_a_client_that_half_closes_gets_its_answer_and_the_server_s_good_bye():
    async with running() as found:
        client = await opened(found.port, ssl_client_context(CLIENT))
        stream, content = 1, b"\x0a\x04much"
        client.call(stream, "/t/Echo", content)
        assert (await client.until(frames.DATA, stream))[3][5:] == content
        client.call(3, "/t/Wait")
        await found.methods.waiting.wait()
        # asyncio's TLS says close_notify and reads on until the server has said its own.
        client.writer.close()
        async with asyncio.timeout(PATIENCE):
            await found.methods.given_up.wait()
            await client.writer.wait_closed()


@on_either_loop
async def test_a_client_that_is_gone_in_the_middle_of_an_answer_ends_its_calls():
    async with running() as found:
        client = await that_reads_nothing(found.port)
        for stream in range(1, 41, 2):
            client.call(stream, "/t/Lecture", ended=False)
        client.call(41, "/t/Wait")
        await found.methods.waiting.wait()
        client.close()
        async with asyncio.timeout(PATIENCE):
            await found.methods.given_up.wait()
        async with found.channel() as channel:
            assert await ask(channel, "Echo", b"x") == b"x"


@on_either_loop
async def test_a_stop_waits_for_nobody_who_has_not_shaken_hands():
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        found = await stack.enter_async_context(running())
        silent = await asyncio.open_connection("localhost", found.port)
        client = await opened(found.port, ssl_client_context(CLIENT))
        assert b"me True " in await told(found, client)
        began = loop.time()
        await stack.aclose()
        assert loop.time() - began < secured.HANDSHAKE_TIMEOUT / 2
        with contextlib.suppress(ConnectionError):
            assert await silent[0].read() == b""
        assert (await client.until(frames.GOAWAY, 0))[0] == frames.GOAWAY
        assert await client.ended() == b""
        silent[1].close()
        client.close()
