"""Sends the calls of traffic rows through real Envoys."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
from mesh import ROWS, Mesh
from meshcore.testing.traffic_rows import RowCall
from meshcore.testing.traffic_verdict import Answer, Outcome, disagreements

DEADLINE = 60.0
SILENCE = 15.0
"""Seconds after which nobody answers on a connection of bytes; some rows show just that."""
SETTLES = 60.0
"""Seconds that `eventually` and copies of mirrors are waited for."""
ANY_SERVER = ssl._create_unverified_context()
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Answer]]
UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Caller:
    """Sends calls on one mesh; `run` makes the names of its calls unlike those of every other row."""

    def __init__(self, mesh: Mesh, run: str) -> None:
        self._mesh, self._run, self._sent = mesh, run, 0
        workloads = mesh.status()["workloads"]
        self._proxies = {item["name"]: item["http_proxy"] for item in workloads}
        number = mesh.stack.number
        self._apps = {
            item["name"]: item["address"].replace(f"127.{number}.0.", f"127.{number}.1.")
            for item in workloads
            if item["name"] in {one.name for one in ROWS.workloads if one.has_echo}
        }

    def call(self, call: RowCall) -> tuple[Outcome, list[str]]:
        """What came of it, and how that differs from what the row wants."""
        deadline = time.monotonic() + SETTLES
        while True:
            outcome, wrong = self._once(call)
            if not wrong or not call.eventually or time.monotonic() > deadline:
                return outcome, wrong

    def _once(self, call: RowCall) -> tuple[Outcome, list[str]]:
        self._sent += 1
        prefix = f"{self._run}-{self._sent}."
        answers = asyncio.run(self._answers(call, prefix))
        outcome = Outcome(answers)
        if call.expect.copies is None and call.expect.attempts is None:
            return outcome, disagreements(call, outcome)
        deadline = time.monotonic() + SETTLES  # a mirror's request may still be on its way
        while True:
            outcome = self._with_journal(call, answers, prefix)
            wrong = disagreements(call, outcome)
            if not wrong or time.monotonic() > deadline:
                return outcome, wrong

    def _with_journal(self, call: RowCall, answers: list[Answer], prefix: str) -> Outcome:
        told = self._told(prefix)
        copies = {name: 100.0 * len(calls) / call.count for name, calls in told.items() if calls}
        return Outcome(answers, sum(sum(calls.values()) for calls in told.values()), copies)

    def _told(self, prefix: str) -> dict[str, dict[str, int]]:
        """How often each application was asked by the calls whose names begin so."""
        with httpx.Client(trust_env=False, timeout=DEADLINE) as journals:
            return {
                name: journals.get(f"http://{address}:9080/journal", params={"calls": prefix}).json()["calls"]
                for name, address in self._apps.items()
            }

    async def _answers(self, call: RowCall, prefix: str) -> list[Answer]:
        names = [f"{prefix}{index}" for index in range(call.count)]
        if call.meanwhile is None:
            return await self._sendings(call, names)
        async with asyncio.TaskGroup() as group:
            other = call.meanwhile.model_copy(update={"parallel": True})
            its = f"{prefix.removesuffix('.')}-meanwhile."
            names_of_it = [f"{its}{index}" for index in range(other.count)]
            held = group.create_task(self._sendings(other, names_of_it, deadline=None))
            await self._under_way(other, its)
            answers = await self._sendings(call, names)
            held.cancel()
        return answers

    async def _under_way(self, call: RowCall, prefix: str) -> None:
        deadline, wanted = time.monotonic() + SETTLES, call.count * (call.expect.attempts or 1)
        while True:
            told = await asyncio.to_thread(self._told, prefix)
            asked = sum(sum(calls.values()) for calls in told.values())
            if asked >= wanted:
                return
            assert time.monotonic() < deadline, f"applications were asked {asked} times, not {wanted}: {call.url}"

    async def _sendings(self, call: RowCall, names: list[str], deadline: float | None = DEADLINE) -> list[Answer]:
        if call.scheme in ("http", "https"):
            return await self._http(call, names, deadline)
        send = {"ws": self._websocket, "grpc": self._grpc, "grpcs": self._grpc, "tcp": self._tcp, "tls": self._tcp}
        if call.parallel:
            return await _together(send[call.scheme](call, name) for name in names)
        return [await send[call.scheme](call, name) for name in names]

    async def _http(self, call: RowCall, names: list[str], deadline: float | None) -> list[Answer]:
        """Over kept connections, as an application would."""
        direct = {} if call.to else {"proxy": self._proxies[call.source]}
        async with httpx.AsyncClient(
            trust_env=False, verify=ANY_SERVER, timeout=deadline, limits=httpx.Limits(max_connections=None), **direct
        ) as client:
            if call.parallel:
                return await _together(self._http_once(client, call, name) for name in names)
            answers: list[Answer] = []
            kept: dict[str, str] = {}
            for name in names:
                answers.append(await self._http_once(client, call, name, kept))
                kept |= {key: answers[-1].headers[key] for key in call.keep_headers if key in answers[-1].headers}
            return answers

    async def _http_once(
        self, client: httpx.AsyncClient, call: RowCall, name: str, kept: Mapping[str, str] = MappingProxyType({})
    ) -> Answer:
        call = call.numbered(int(name.rpartition(".")[2]))
        if not call.keep_cookies:
            client.cookies.clear()
        url, extensions = call.url, {}
        headers = {"x-call": name, **kept, **call.headers}
        if call.to:
            parts = urlsplit(call.url)
            headers = {"host": parts.netloc, **headers}
            url = f"{call.scheme}://{call.to}{call.target}"
            extensions = {"sni_hostname": call.sni or call.host}
        request = client.build_request(call.method, url, headers=headers, content=call.body or None)
        request.extensions |= extensions
        began = time.monotonic()
        try:
            answer = await client.send(request)
        except (httpx.TransportError, ssl.SSLError) as error:
            # The second is an alert that comes while the connection is closed: httpx does not wrap it.
            return Answer(seconds=time.monotonic() - began, error=f"{type(error).__name__} {error}")
        seconds = time.monotonic() - began
        return _http_answer(answer.status_code, dict(answer.headers), answer.text, seconds)

    def _address(self, call: RowCall) -> tuple[str, int]:
        if call.to:
            host, _, port = call.to.rpartition(":")
            return host, int(port)
        proxy = urlsplit(self._proxies[call.source])
        return str(proxy.hostname), int(proxy.port or 80)

    async def _websocket(self, call: RowCall, name: str) -> Answer:
        """Asks for an upgrade; when it is granted the body is sent and must come back."""
        authority = urlsplit(call.url).netloc
        target = call.target if call.to else f"http://{authority}{call.target}"
        fields = {"host": authority, "x-call": name, **UPGRADE, **call.headers}
        head = "\r\n".join([f"GET {target} HTTP/1.1", *(f"{key}: {value}" for key, value in fields.items())])

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
            writer.write(f"{head}\r\n\r\n".encode())
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            found = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:-2])}
            if status == 101:
                writer.write(call.body.encode())
                body = await reader.readexactly(len(call.body.encode()))
            else:
                body = await reader.readexactly(int(found.get("content-length", "0")))
            return Answer(status, found.get("x-workload", ""), found, body.decode())

        return await self._connected(call, talk)

    async def _connected(self, call: RowCall, talk: Talk, **how: Any) -> Answer:
        """What comes of a connection of one's own, or why nothing does."""
        writer = None
        try:
            async with asyncio.timeout(SILENCE + call.linger):
                reader, writer = await asyncio.open_connection(*self._address(call), **how)
                return await talk(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            return Answer(error=f"{type(error).__name__} {error}")
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _grpc(self, call: RowCall, name: str) -> Answer:
        host, port = self._address(call)
        options = [
            ("grpc.default_authority", urlsplit(call.url).netloc),
            ("grpc.enable_http_proxy", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
        ]
        async with grpc.aio.insecure_channel(f"{host}:{port}", options=options) as channel:
            method = channel.unary_unary(call.target)
            sent = method(call.body.encode(), metadata=(("x-call", name), *call.headers.items()), timeout=DEADLINE)
            try:
                body = (await sent).decode()
            except grpc.aio.AioRpcError as error:
                found = {str(key): str(value) for key, value in error.trailing_metadata() or ()}
                return Answer(
                    200, found.get("x-workload", ""), found, error.details() or "", grpc_status=error.code().value[0]
                )
            found = {str(key): str(value) for key, value in await sent.initial_metadata() or ()}
        return _http_answer(200, found, body, grpc_status=0)

    async def _tcp(self, call: RowCall, name: str) -> Answer:
        """Sends the body, if any, and reads until a line's end: status 200 when something came back."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
            if call.body:
                writer.write(call.body.encode() + b"\n")
                await writer.drain()
            text = (await reader.readline()).decode().strip()
            if not text:
                return Answer(error="the connection was closed without an answer")
            workload = next((word for word in text.split() if word in self._apps), "")
            return Answer(200, workload, body=text, ended=await _ended(reader, call.linger))

        if call.scheme == "tls":
            return await self._connected(call, talk, ssl=ANY_SERVER, server_hostname=call.sni or call.host)
        return await self._connected(call, talk)


async def _together(sendings: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """All at the same time. Who is cancelled waits for each of them to let go of its connection: `gather` does not, and
    the end of the loop then leaves sockets behind, which fail whatever test runs when they are collected."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in sendings]
    return [task.result() for task in tasks]


async def _ended(reader: asyncio.StreamReader, within: float) -> bool:
    """Whether the other side ends the connection within so many seconds."""
    try:
        async with asyncio.timeout(within):
            while await reader.read(65536):
                pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def _http_answer(
    status: int, headers: Mapping[str, str], body: str, seconds: float = 0.0, grpc_status: int | None = None
) -> Answer:
    try:
        saw: Any = json.loads(body)
    except ValueError:
        saw = None
    echoed = isinstance(saw, dict) and "workload" in saw
    return Answer(
        status,
        str(saw["workload"]) if echoed else "",
        headers,
        "" if echoed else body,
        saw if echoed else {},
        seconds,
        grpc_status,
    )
