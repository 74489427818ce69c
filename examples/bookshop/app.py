"""The bookshop: one small program that plays every part of the shop, on the standard library alone.

    python app.py PART [VERSION] --host 127.1.1.2 --port 9080

PART is front, details, reviews or ratings. `front` asks `details` and `reviews`; `reviews` v2 and v3 ask `ratings`.
Calls to other parts go through the proxy named by the `http_proxy` environment variable (the mesh HTTP proxy port of
the sidecar), or straight to the part where there is none: a sidecar that captures traffic needs nothing of the
application. They carry the caller's trace headers and `end-user` on, so that a route may look at who is asking.
Connections are kept and used again.

Every part answers two more paths, to try policies with: `/flaky` fails each second time with 503, `/slow` answers after
two seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

FORWARDED_HEADERS = (
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "end-user",
)
MAX_BODY = 1 << 20
CALL_DEADLINE = 10.0
SLOW = 2.0
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 502: "Bad Gateway", 503: "Service Unavailable"}

BOOK = {
    "title": "The Lighthouse Keeper's Almanac",
    "author": "I. Marlow",
    "pages": 312,
    "year": 1908,
    "format": "cloth",
}
REVIEWS = (
    {"reader": "Ada", "text": "Tide tables that read like poems."},
    {"reader": "Linus", "text": "A little long around the fog horns."},
)
STARS = {"Ada": 5, "Linus": 4}


@dataclass(frozen=True)
class Reply:
    """What a part answers: the HTTP status and a JSON document."""

    status: int
    body: Mapping[str, object]


async def read_message(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """One HTTP/1.1 message: its start line, headers (lower case) and body. Raises IncompleteReadError at the end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {}
    for line in head[1:-2]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return head[0], headers, await read_chunks(reader)
    length = int(headers.get("content-length", "0"))
    if length > MAX_BODY:
        raise ValueError("body is too large")
    return head[0], headers, await reader.readexactly(length) if length else b""


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body, whole."""
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        if len(body) + size > MAX_BODY:
            raise ValueError("body is too large")
        body += (await reader.readexactly(size + 2))[:size]
    await reader.readuntil(b"\r\n")
    return bytes(body)


class Client:
    """GETs over kept connections, through a mesh HTTP proxy or straight to the part."""

    def __init__(self, proxy: str) -> None:
        self._proxy = urlsplit(proxy if "//" in proxy else f"http://{proxy}") if proxy else None
        self._idle: dict[tuple[str, int], list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}

    async def get(self, host: str, path: str, headers: Mapping[str, str]) -> Reply:
        """Answers 502 with the reason when nobody can be reached. `host` is `name:port`."""
        try:
            async with asyncio.timeout(CALL_DEADLINE):
                return await self._get(host, path, headers)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
            return Reply(502, {"error": f"{host}: {type(error).__name__}"})

    async def _get(self, host: str, path: str, headers: Mapping[str, str]) -> Reply:
        target, name = path, urlsplit(f"//{host}")
        if self._proxy is not None:
            target, name = f"http://{host}{path}", self._proxy
        address = (name.hostname or "127.0.0.1", name.port or 80)
        idle = self._idle.setdefault(address, [])
        lines = [f"GET {target} HTTP/1.1", f"host: {host}", *(f"{k}: {v}" for k, v in headers.items())]
        request = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        while True:
            kept = bool(idle)
            reader, writer = idle.pop() if kept else await asyncio.open_connection(*address)
            try:
                writer.write(request)
                status_line, answer, body = await read_message(reader)
            except (ConnectionError, asyncio.IncompleteReadError):
                writer.close()
                if kept:  # it was closed while idle; a GET may be sent again
                    continue
                raise
            except BaseException:
                writer.close()
                raise
            if answer.get("connection", "").lower() == "close":
                writer.close()
            else:
                idle.append((reader, writer))
            status = int(status_line.split(" ", 2)[1])
            try:
                document = json.loads(body)
            except ValueError:
                document = {"error": body.decode("utf-8", "replace")[:200]}
            return Reply(status, document)

    def close(self) -> None:
        """Closes every kept connection."""
        for idle in self._idle.values():
            for _, writer in idle:
                writer.close()


class Bookshop:
    """The parts of the shop. Each answers GET with a JSON document that names who answered."""

    def __init__(self, part: str, version: str, client: Client) -> None:
        self._part, self._version, self._client = part, version, client
        self._tries = 0

    async def answer(self, path: str, headers: Mapping[str, str]) -> Reply:
        """The reply of this part to one GET."""
        plain = path.split("?")[0]
        if plain == "/healthz":
            return Reply(200, {"status": "ok"})
        if plain == "/flaky":
            self._tries += 1
            if self._tries % 2:
                return Reply(503, {"error": "each second time"})
        if plain == "/slow":
            await asyncio.sleep(SLOW)
        carried = {name: headers[name] for name in FORWARDED_HEADERS if name in headers}
        body: dict[str, object] = {"part": self._part, "version": self._version}
        peer = headers.get("x-forwarded-client-cert", "")
        body["caller"] = next((field[4:] for field in peer.split(";") if field.startswith("URI=")), "")
        if self._part == "front":
            details, reviews = await asyncio.gather(
                self._client.get("details:9080", "/", carried), self._client.get("reviews:9080", "/", carried)
            )
            body |= {"details": details.body, "reviews": reviews.body}
            failed = next((reply.status for reply in (details, reviews) if reply.status >= 500), 200)
            return Reply(failed, body)
        if self._part == "reviews" and self._version != "v1":
            ratings = await self._client.get("ratings:9080", "/", carried)
            body |= {"reviews": REVIEWS, "ratings": ratings.body}
            return Reply(200 if ratings.status < 500 else ratings.status, body)
        body |= {"reviews": REVIEWS} if self._part == "reviews" else {}
        body |= {"book": BOOK} if self._part == "details" else {}
        body |= {"stars": STARS} if self._part == "ratings" else {}
        return Reply(200, body)

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one connection's requests in order until either side closes it."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                try:
                    line, headers, _ = await read_message(reader)
                    method, target, _ = line.split(" ", 2)
                except (ValueError, asyncio.LimitOverrunError):
                    writer.write(render(Reply(400, {"error": "bad request"})))
                    break
                reply = await self.answer(target, headers) if method == "GET" else Reply(400, {"error": "GET only"})
                writer.write(render(reply))
                await writer.drain()
                if headers.get("connection", "").lower() == "close":
                    break
        writer.close()


def render(reply: Reply) -> bytes:
    """A reply in HTTP/1.1."""
    body = json.dumps(reply.body).encode()
    head = f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Unknown')}\r\ncontent-type: application/json\r\n"
    return head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body


async def run(part: str, version: str, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    client = Client(os.environ.get("http_proxy", ""))
    shop = Bookshop(part, version, client)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await asyncio.start_server(shop.serve_connection, host, port)
    started = {"message": "serving", "part": part, "version": version, "address": f"{host}:{port}"}
    sys.stdout.write(json.dumps(started) + "\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()
    client.close()


def main() -> None:
    """Reads the command line and serves."""
    parser = argparse.ArgumentParser(description="One part of the bookshop.")
    parser.add_argument("part", choices=("front", "details", "reviews", "ratings"))
    parser.add_argument("version", nargs="?", default="v1")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9080)
    options = parser.parse_args()
    asyncio.run(run(options.part, options.version, options.host, options.port))


if __name__ == "__main__":
    main()
