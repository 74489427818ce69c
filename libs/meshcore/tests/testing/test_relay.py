from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from meshcore.testing.addresses import claim
from meshcore.testing.relay import Relay

DEADLINE = 60.0
PORT = 7000


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    """Before a server that answers each chunk with itself."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(100):
                writer.write(data)
        writer.transport.abort()

    with claim() as block:
        async with (
            await asyncio.start_server(answer, block.address(1), PORT),
            Relay(block.address(2), PORT, (block.address(1), PORT)) as running,
        ):
            yield running


async def ends(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(100), DEADLINE) == b""
    except ConnectionResetError:
        return True


async def test_a_relay_passes_on_until_it_is_cut_and_again_when_it_is_mended(relay: Relay):
    for word in (b"one", b"two"):
        reader, writer = await asyncio.open_connection(relay.address, relay.port)
        writer.write(word)
        assert await asyncio.wait_for(reader.readexactly(3), DEADLINE) == word
        relay.cut()
        assert await ends(reader)
        writer.transport.abort()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(relay.address, relay.port)
        relay.mend()


@pytest.mark.parametrize("steps", range(6))
async def test_a_connection_cut_while_it_is_accepted_ends(relay: Relay, steps: int):
    with socket.create_connection((relay.address, relay.port)) as client:
        client.setblocking(False)
        for _ in range(steps):
            await asyncio.sleep(0)
        relay.cut()
        reader, writer = await asyncio.open_connection(sock=client)
        assert await ends(reader)
        writer.transport.abort()
