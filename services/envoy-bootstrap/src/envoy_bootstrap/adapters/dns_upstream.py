"""Asks the machine's own name servers what the mesh does not know."""

import asyncio
import random
import secrets
from collections.abc import Sequence
from time import monotonic

import structlog
from meshcore import metrics

from envoy_bootstrap.core import dns_answers
from envoy_bootstrap.core.addresses import HostPort
from envoy_bootstrap.core.dns_answers import Question

_log = structlog.get_logger("dns")
_REQUESTS = metrics.counter("istio_agent_dns_upstream_requests_total", "Questions passed on to a name server.")
_FAILURES = metrics.counter("istio_agent_dns_upstream_failures_total", "Name servers that did not answer.")
_SECONDS = metrics.histogram("istio_agent_dns_upstream_request_duration_seconds", "Time until a name server answered.")
WITHIN = 5.0
_MOST = 1000
"""Questions that wait for a name server at once; more are refused, so that a flood costs no more than these."""


class DnsUpstream:
    """The name servers of one machine; an order of chance for each question, as in Istio."""

    def __init__(self, servers: Sequence[HostPort]) -> None:
        self._servers = tuple(servers)
        self._waiting = 0

    async def ask(self, question: Question) -> bytes | None:
        """The first answer, or None."""
        if self._waiting >= _MOST:
            return None
        self._waiting += 1
        try:
            async with asyncio.timeout(WITHIN):
                for server in random.sample(self._servers, len(self._servers)):
                    _REQUESTS.inc()
                    begun = monotonic()
                    if (answer := await self._ask_one(server, question)) is not None:
                        _SECONDS.observe(monotonic() - begun)
                        return answer
                    _FAILURES.inc()
        except TimeoutError:
            _FAILURES.inc()
            _log.debug("no name server answers", name=question.name)
        finally:
            self._waiting -= 1
        return None

    async def _ask_one(self, server: HostPort, question: Question) -> bytes | None:
        identifier = secrets.randbelow(1 << 16)
        try:
            async with asyncio.timeout(WITHIN / max(1, len(self._servers))):
                answer = await _by_datagram(server, question, identifier)
                if dns_answers.is_truncated(answer) and len(answer) <= question.limit:
                    return await _by_stream(server, question, identifier)
                return answer
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return None


async def _by_datagram(server: HostPort, question: Question, identifier: int) -> bytes:
    """From a port of chance (the kernel's), until an answer to this very question comes."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            answer = dns_answers.returned(question, identifier, data)
            if answer is not None and not answered.done():
                answered.set_result(answer)

        def error_received(self, exc: Exception) -> None:
            if not answered.done():
                answered.set_exception(exc)

    transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=(server.host, server.port))
    try:
        transport.sendto(dns_answers.forwarded(question, identifier))
        return await answered
    finally:
        transport.close()


async def _by_stream(server: HostPort, question: Question, identifier: int) -> bytes | None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        query = dns_answers.forwarded(question, identifier)
        writer.write(len(query).to_bytes(2, "big") + query)
        answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        return dns_answers.returned(question, identifier, answer)
    finally:
        writer.close()
