"""The agent's DNS server, asked over the network, with a name server behind it."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from socket import SOCK_DGRAM, SOCK_STREAM
from typing import Any

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from envoy_bootstrap.adapters.dns_proxy import DnsProxy
from envoy_bootstrap.adapters.dns_upstream import DnsUpstream
from envoy_bootstrap.adapters.listening_sockets import ListeningSockets
from envoy_bootstrap.adapters.own_addresses import own_addresses
from envoy_bootstrap.core.addresses import HostPort
from meshcore._generated.istio.networking.nds.v1 import nds_pb2
from meshcore.testing import addresses


class NameServer(asyncio.DatagramProtocol):
    """Knows `far.example`, has more to say of `large.example` than fits, and is silent about `slow.example`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def response(self, wire: bytes, *, datagram: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text()
        self.asked.append(name)
        response = dns.message.make_response(query)
        if name == "slow.example.":
            return None
        if name == "far.example.":
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.1"))
        elif name == "large.example." and datagram:
            response.flags |= dns.flags.TC
        elif name == "large.example.":
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", *(f"192.0.2.{n}" for n in range(1, 200))))
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        # somebody who guesses comes first
        forged = bytearray(self.response(data, datagram=True) or b"")
        if forged:
            self.transport.sendto(bytes((forged[0] ^ 1, *forged[1:])), addr)
            self.transport.sendto(bytes(forged), addr)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        answer = self.response(wire, datagram=False) or b""
        writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()


@contextlib.asynccontextmanager
async def name_server(host: str) -> AsyncIterator[NameServer]:
    server = NameServer()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, local_addr=(host, 5353))
    try:
        async with await asyncio.start_server(server.connection, host, 5353):
            yield server
    finally:
        transport.close()


def table(**hosts: list[str]) -> bytes:
    made = nds_pb2.NameTable()
    for name, ips in hosts.items():
        info = made.table[f"{name}.shop.svc.cluster.local"]
        info.registry, info.shortname, info.namespace = "Kubernetes", name, "shop"
        info.ips.extend(ips)
    return made.SerializeToString()


async def ask(host: str, name: str, kind: str = "A", *, tcp: bool = False) -> Any:
    query = dns.message.make_query(name, kind)
    by = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await by(query, host, port=15053, timeout=60)


def records(response: Any) -> list[str]:
    return sorted(record.to_text() for rrset in response.answer for record in rrset)


async def test_a_workload_asks_for_the_mesh_and_for_the_world(mesh: Any) -> None:
    mesh.pilot.names = table(reviews=["10.0.0.1", "10.0.0.2", "fd00::1"])
    resolv_conf = mesh.directory / "resolv.conf"
    resolv_conf.write_text("search shop.svc.cluster.local svc.cluster.local\n")
    key = mesh.directory / "state-key"
    key.write_bytes(os.urandom(32))
    upstream = mesh.claim.address(7)
    settings = {
        "ISTIO_META_DNS_CAPTURE": "true",
        "MESHCORE_RESOLV_CONF": str(resolv_conf),
        "MESHCORE_DNS_UPSTREAM": f"{upstream}:5353",
        "STATE_KEY_FILE": str(key),
    }
    async with name_server(upstream) as server:
        workload = await mesh.start_ready("front", 1, **settings)
        ip = workload.ip
        for tcp in (False, True):
            assert records(await ask(ip, "reviews", tcp=tcp)) == ["10.0.0.1", "10.0.0.2"]
            assert records(await ask(ip, "reviews.shop.svc.cluster.local", "AAAA", tcp=tcp)) == ["fd00::1"]
            assert records(await ask(ip, "far.example", tcp=tcp)) == ["192.0.2.1"]
        firsts = {next(iter((await ask(ip, "reviews")).answer[0])).to_text() for _ in range(4)}
        assert firsts == {"10.0.0.1", "10.0.0.2"}, "one after the other comes first"
        assert "reviews.shop." in records(await ask(ip, "reviews.shop.shop.svc.cluster.local"))
        assert (await ask(ip, "no.example")).rcode() == dns.rcode.NXDOMAIN
        assert (await ask(ip, "large.example")).flags & dns.flags.TC
        assert len(records(await ask(ip, "large.example", tcp=True))) == 199
        assert not any("reviews" in name for name in server.asked)
        shown = (await workload.get(15020, "/debug/ndsz")).json()
        assert shown["reviews.shop"] == ["10.0.0.1", "10.0.0.2", "fd00::1"]
        assert "istio_agent_dns_upstream_requests_total" in (await workload.get(15020, "/stats/prometheus")).text

        mesh.pilot.names = b""
        await workload.terminate()
        again = await mesh.start_ready("front", 1, **settings)
        assert records(await ask(again.ip, "reviews")) == ["10.0.0.1", "10.0.0.2"], "kept for a start without a table"


async def test_without_a_table_nothing_is_answered_and_the_workload_is_not_ready(mesh: Any) -> None:
    workload = await mesh.start_workload("front", 1, ISTIO_META_DNS_CAPTURE="true", MESHCORE_DNS_UPSTREAM="127.0.0.1:1")
    await mesh.until(lambda: "opened" in mesh.pilot.said.get("front", []), "the agent's stream")
    assert (await ask(workload.ip, "reviews")).rcode() == dns.rcode.SERVFAIL
    not_ready = await workload.get(15020, "/healthz/ready")
    assert (not_ready.status_code, not_ready.text) == (503, "the name table has not come yet\n")


async def test_whoever_asks_from_elsewhere_is_not_answered() -> None:
    proxy = DnsProxy(DnsUpstream([]), ["192.0.2.7", "2001:db8::7"])
    own = ("127.0.0.1", "127.1.2.3", "::1", "192.0.2.7", "2001:db8::7", *own_addresses())
    assert [proxy.may_ask(host) for host in own] == [True] * len(own)
    assert [proxy.may_ask(host) for host in ("192.0.2.8", "2001:db8::8", "fe80::1%eth0")] == [False] * 3


async def test_name_servers_that_do_not_answer_are_a_failure_of_the_server_and_others_are_asked() -> None:
    query = dns.message.make_query("far.example", "A")
    with addresses.claim() as claim:
        async with name_server(claim.address(7)):
            dead, living = HostPort(claim.address(8), 5353), HostPort(claim.address(7), 5353)
            for servers, code in (([dead], dns.rcode.SERVFAIL), ([dead, living], dns.rcode.NOERROR), ([], 2)):
                proxy = DnsProxy(DnsUpstream(servers), [])
                proxy.replace(_empty())
                answer = await proxy.answer(query.to_wire(), datagram=True)
                assert answer is not None
                assert dns.message.from_wire(answer).rcode() == code


def _empty() -> Any:
    from envoy_bootstrap.core.name_lookup import NameLookup

    return NameLookup.of(b"", "shop", "cluster.local")


@pytest.mark.parametrize("wire", [b"", b"\0", b"\xff" * 600])
async def test_strange_bytes_do_not_end_the_server(wire: bytes) -> None:
    with addresses.claim() as claim:
        proxy = DnsProxy(DnsUpstream([]), [])
        sockets, host = ListeningSockets(), claim.address(1)
        datagrams, streams = (sockets.claim(str(kind), host, 15053, kind) for kind in (SOCK_DGRAM, SOCK_STREAM))
        async with proxy.serving(datagrams, streams):
            reader, writer = await asyncio.open_connection(claim.address(1), 15053)
            writer.write(len(wire).to_bytes(2, "big") + wire)
            assert len(await reader.read()) in (0, 14)
            writer.close()
            assert (await ask(claim.address(1), "a.example")).rcode() == dns.rcode.SERVFAIL
        sockets.close()
