"""Hosts with certificates, at the gateway of the shared mesh or outside, and clients that believe an authority."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from listener_workers import ListenerWorkers
from mesh import Mesh
from meshcore.testing.authorities import Authority, crl_pem
from meshcore.testing.identity import TestCa
from meshcore.tls import ServiceIdentity

NAMESPACE = "edge"
HOST = "shop.edge.test"


def issue(root: TestCa, host: str) -> ServiceIdentity:
    return root.issue(None, dns=[host], ips=[])


def revoking(root: TestCa, *pairs: ServiceIdentity) -> bytes:
    """The authority's revocation list, with those certificates on it."""
    serials = [x509.load_pem_x509_certificate(pair.chain).serial_number for pair in pairs]
    return crl_pem(Authority("public", root.key, root.certificate), serials)


def secret(name: str, data: Mapping[str, bytes], kind: str = "kubernetes.io/tls") -> dict[str, Any]:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": encoded}


def key_pair(pair: ServiceIdentity) -> dict[str, bytes]:
    return {"tls.crt": pair.chain, "tls.key": pair.key.pem}


def gateway(name: str, hosts: list[str], tls: Mapping[str, Any], protocol: str = "HTTPS") -> dict[str, Any]:
    port = {"number": 443, "name": name, "protocol": protocol}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": "edge"}, "servers": [{"port": port, "hosts": hosts, "tls": dict(tls)}]},
    }


def bound(name: str, host: str) -> dict[str, Any]:
    destination = {"host": "ledger.books.svc.cluster.local", "port": {"number": 9080}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"hosts": [host], "gateways": [name], "http": [{"route": [{"destination": destination}]}]},
    }


def outside(tls: Mapping[str, Any], address: str, selector: Mapping[str, str] | None) -> list[dict[str, Any]]:
    """A server outside of the mesh at the gateway's TLS port, and how workloads of `default` call it."""
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "outside", "namespace": "default"},
        "spec": {
            "hosts": [HOST],
            "location": "MESH_EXTERNAL",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8443}],
            "resolution": "STATIC",
            "endpoints": [{"address": address}],
        },
    }
    policy: dict[str, Any] = {"host": HOST, "trafficPolicy": {"tls": {"mode": "MUTUAL", "sni": HOST, **tls}}}
    policy |= {"workloadSelector": {"matchLabels": dict(selector)}} if selector else {}
    metadata = {"name": "outside", "namespace": "default"}
    rule = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": metadata, "spec": policy}
    return [entry, rule]


class Client:
    """A client outside of the mesh that believes `root` and may show a certificate."""

    def __init__(
        self, mesh: Mesh, root: TestCa, own: ServiceIdentity | None = None, folder: Path | None = None
    ) -> None:
        self._address = (str(mesh.workload("edge")["address"]), 8443)
        self._context = ssl.create_default_context(cadata=root.root_pem.decode())
        if own is not None and folder is not None:
            file = folder / "client.pem"
            file.write_bytes(own.chain + own.key.pem)
            self._context.load_cert_chain(file)

    def call(self, address: str, port: int) -> None:
        """Another server than the gateway, from now on."""
        self._address = (address, port)

    def speak_no_newer_than(self, version: ssl.TLSVersion) -> None:
        """From now on."""
        self._context.maximum_version = version

    def offer(self, cipher_suite: str) -> None:
        """This one alone in TLS 1.2, from now on."""
        self._context.set_ciphers(cipher_suite)

    @contextlib.contextmanager
    def connected(self, host: str = HOST) -> Iterator[ssl.SSLSocket]:
        with (
            socket.create_connection(self._address, timeout=15) as raw,
            self._context.wrap_socket(raw, server_hostname=host) as connection,
        ):
            yield connection

    def get(self, host: str = HOST) -> tuple[int, dict[str, Any]]:
        """Status and document over a new connection."""
        with self.connected(host) as connection:
            return ask(connection, host)

    def answer(self, host: str = HOST) -> tuple[int, dict[str, Any]] | None:
        """As `get`, or None when there is no connection to be had."""
        try:
            return self.get(host)
        except (OSError, ValueError):
            return None

    def shown(self, host: str = HOST) -> bytes:
        """The certificate that the gateway shows, in PEM."""
        with self.connected(host) as connection:
            return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"").encode()


def ask(connection: ssl.SSLSocket, host: str) -> tuple[int, dict[str, Any]]:
    connection.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    stream = connection.makefile("rb")
    status = int(stream.readline().split(b" ")[1])
    length = 0
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    body = stream.read(length)
    return status, json.loads(body) if body else {}


@cache
def _workers(mesh: Mesh) -> ListenerWorkers:
    return ListenerWorkers([item["envoy_admin"] for item in mesh.status()["workloads"] if item.get("envoy_admin")])


@contextlib.contextmanager
def applied(mesh: Mesh, *documents: Mapping[str, Any]) -> Iterator[None]:
    """An Envoy takes a listener at once and serves by the old one until the new one has its certificates: wait for
    that, too. A Secret's new content may come later than the config: use a name of its own where that matters."""
    workers = _workers(mesh)
    mesh.converged(mesh.change(list(documents)))
    workers.wait()
    try:
        yield
    finally:
        mesh.change([], delete=list(documents))


def good(mesh: Mesh) -> dict[str, Any] | None:
    reply = mesh.get(f"http://{HOST}/")
    return dict(reply.body) if reply.good else None
