"""The agent's DNS server, 15053 by UDP and TCP: names of the mesh by itself, others from the machine's name servers.

It is for this workload alone: who asks from another machine is not answered, whatever address it listens on.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import structlog
from meshcore import metrics
from meshcore.runtime import tasks

from envoy_bootstrap.adapters.dns_upstream import DnsUpstream
from envoy_bootstrap.adapters.own_addresses import is_of_this_machine
from envoy_bootstrap.core import dns_answers
from envoy_bootstrap.core.name_lookup import NameLookup

_log = structlog.get_logger("dns")
_REQUESTS = metrics.counter("istio_agent_dns_requests_total", "Questions that the agent was asked.")
_IDLE = 10.0
"""Seconds that a connection may be silent (RFC 7766 §6.2.3 asks for a few)."""
_CONNECTIONS = 256


class DnsProxy:
    """Answers by the table that it has; `replace` gives it another one."""

    def __init__(self, upstream: DnsUpstream, own_addresses: Sequence[str]) -> None:
        self._upstream = upstream
        self._own = frozenset(own_addresses)
        self._turn = 0
        self._connections = 0
        self.names: NameLookup | None = None

    def replace(self, names: NameLookup) -> None:
        """Answer by this table from now on."""
        self.names = names

    @contextlib.asynccontextmanager
    async def serving(self, datagrams: socket.socket, streams: socket.socket) -> AsyncIterator[None]:
        """Answer on these two for as long as the block lasts."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagrams)
        try:
            async with await asyncio.start_server(self._connection, sock=streams):
                yield
        finally:
            transport.close()

    def may_ask(self, host: str) -> bool:
        """Whether this is the workload itself. With capture it asks from an address of its own, not a loopback one:
        from that of whichever interface leads to the name server, which may be none that it is known by."""
        plain = host.partition("%")[0]
        return plain in self._own or ipaddress.ip_address(plain).is_loopback or is_of_this_machine(plain)

    async def answer(self, wire: bytes, *, datagram: bool) -> bytes | None:
        """The bytes to send back; None for none."""
        _REQUESTS.inc()
        question = dns_answers.parse_question(wire, datagram=datagram)
        if not isinstance(question, dns_answers.Question):
            return question
        self._turn += 1
        own = dns_answers.answer(question, self.names, self._turn)
        if own is not None:
            return own
        answer = await self._upstream.ask(question)
        return dns_answers.refusal(question, dns_answers.SERVFAIL) if answer is None else answer

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections > _CONNECTIONS or not self.may_ask(writer.get_extra_info("peername")[0]):
                return
            while True:
                async with asyncio.timeout(_IDLE):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    wire = await reader.readexactly(size)
                answer = await self.answer(wire, datagram=False)
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(2, "big") + answer)
                async with asyncio.timeout(_IDLE):
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return
        finally:
            self._connections -= 1
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, proxy: DnsProxy) -> None:
        self._proxy = proxy
        self._transport: Any = None
        self._pending: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        for task in self._pending:
            task.cancel()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self._proxy.may_ask(addr[0]):
            return
        task = tasks.create_task(self._answer(data, addr), name="dns question")
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _answer(self, data: bytes, addr: Any) -> None:
        answer = await self._proxy.answer(data, datagram=True)
        if answer is not None and not self._transport.is_closing():
            self._transport.sendto(answer, addr)
