"""Many delta-ADS clients in one process that cost next to nothing: HTTP/2 by hand, one connection each, real ACKs.

    python bench/light_clients.py HOST PORT CLIENTS NAMES [FOLDER]

Each asks for all clusters, all listeners and the endpoints of NAMES clusters, and acknowledges whatever comes. FOLDER
has `root.pem` and `NAMESPACE.pem`, key and certificates, for TLS. Reads numbers from standard input, one a line, and
answers each with a line once so many messages have come to all together since the line before; 0 forgets what came.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from functools import cache
from pathlib import Path
from typing import cast

import uvloop
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.http2 import frames
from meshcore.http2.hpack import encode
from meshcore.testing.ads_client import METHOD, node
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE

CLASSES = 20
_BLOCK = encode(
    (
        (":method", "POST"),
        (":scheme", "https"),
        (":path", METHOD),
        (":authority", "bench"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    )
)


def said(message: bytes) -> bytes:
    """A message of gRPC in one frame of the only stream."""
    return frames.frame(frames.DATA, 0, 1, b"\0" + len(message).to_bytes(4) + message)


@cache
def acknowledgement(response: bytes) -> bytes:
    """What answers a response; clients of one class are sent the same bytes."""
    came = discovery_pb2.DeltaDiscoveryResponse.FromString(response)
    answer = discovery_pb2.DeltaDiscoveryRequest(type_url=came.type_url, response_nonce=came.nonce)
    return said(answer.SerializeToString())


def greeting(number: int, names: list[str]) -> bytes:
    """All that a client says before it hears anything; its windows are as wide as they can be."""
    who = node(f"p{number}", f"ns-{number % CLASSES}", address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    asked = [
        discovery_pb2.DeltaDiscoveryRequest(node=who, type_url=CLUSTER_TYPE),
        discovery_pb2.DeltaDiscoveryRequest(type_url=ENDPOINT_TYPE, resource_names_subscribe=names),
        discovery_pb2.DeltaDiscoveryRequest(type_url=LISTENER_TYPE),
    ]
    return b"".join(
        (
            frames.PREFACE,
            frames.settings({frames.INITIAL_WINDOW_SIZE: frames.LARGEST_WINDOW}),
            frames.window_update(0, frames.LARGEST_WINDOW - frames.FIRST_WINDOW),
            frames.frame(frames.HEADERS, frames.END_HEADERS, 1, _BLOCK),
            *(said(one.SerializeToString()) for one in asked),
        )
    )


class Arrivals:
    """Messages that came to all, and who waits for how many."""

    def __init__(self) -> None:
        self.came = 0
        self.wanted = 0
        self.reached = asyncio.Event()

    def one(self) -> None:
        """One more."""
        self.came += 1
        if self.came >= self.wanted:
            self.reached.set()

    async def of(self, wanted: int) -> None:
        """Until so many have come, which are then forgotten."""
        self.wanted = wanted
        if self.came < wanted:
            self.reached.clear()
            await self.reached.wait()
        self.came = 0


class LightClient(asyncio.Protocol):
    """One connection with one stream."""

    def __init__(self, number: int, names: list[str], arrivals: Arrivals) -> None:
        self._hello = greeting(number, names)
        self._arrivals = arrivals
        self._input = b""
        self._content = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._hello)
        self._hello = b""

    def connection_lost(self, error: Exception | None) -> None:
        """No server should do that."""
        if self._input is not None and not asyncio.get_running_loop().is_closed():
            print("lost", error, file=sys.stderr)

    def data_received(self, data: bytes) -> None:
        """Acknowledge."""
        data = self._input + data
        offset, answers = 0, []
        while len(data) - offset >= frames.HEAD_SIZE:
            upper, lower, kind, flags, _ = frames.HEAD.unpack_from(data, offset)
            end = offset + frames.HEAD_SIZE + (upper << 8 | lower)
            if end > len(data):
                break
            payload = data[offset + frames.HEAD_SIZE : end]
            if kind == frames.DATA:
                self._content += payload
                answers += self._answers()
            elif kind == frames.SETTINGS and not flags:
                answers.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
            elif kind == frames.PING and not flags:
                answers.append(frames.frame(frames.PING, frames.ACK, 0, payload))
            offset = end
        self._input = data[offset:]
        if answers:
            self._transport.write(b"".join(answers))

    def _answers(self) -> list[bytes]:
        found, content = [], self._content
        while len(content) >= 5 and len(content) >= (end := 5 + int.from_bytes(content[1:5])):
            found.append(acknowledgement(content[5:end]))
            self._arrivals.one()
            content = content[end:]
        self._content = content
        return found


def tls(folder: Path, namespace: str) -> ssl.SSLContext:
    """What a client of a namespace shows and trusts."""
    context = ssl.create_default_context(cafile=folder / "root.pem")
    context.load_cert_chain(folder / f"{namespace}.pem")
    context.set_alpn_protocols(["h2"])
    return context


async def main(host: str, port: str, clients: str, names: str, *folder: str) -> None:
    """Until standard input ends."""
    shown = [tls(Path(folder[0]), f"ns-{kind}") if folder else None for kind in range(CLASSES)]
    loop = asyncio.get_running_loop()
    arrivals = Arrivals()
    watched = [f"c{number}" for number in range(int(names))]
    for number in range(int(clients)):
        await loop.create_connection(
            lambda number=number: LightClient(number, watched, arrivals), host, int(port), ssl=shown[number % CLASSES]
        )
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().strip():
        await arrivals.of(int(line))
        print(line, flush=True)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
