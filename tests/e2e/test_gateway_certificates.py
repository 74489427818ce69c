"""Certificates of a gateway from Secrets: used, changed under open connections, and in nobody else's way."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from mesh import Mesh, virtual_service, wait_until
from meshcore.testing.identity import TestCa, make_ca
from meshcore.tls import ServiceIdentity

NAMESPACE = "edge"
HOST = "shop.edge.test"
PROBLEM = "secret is not served as it is"


@pytest.fixture(scope="module")
def root() -> TestCa:
    return make_ca("a public authority")


def issue(root: TestCa, host: str) -> ServiceIdentity:
    return root.issue(None, dns=[host], ips=[])


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
            socket.create_connection(self._address, timeout=10) as raw,
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


@contextlib.contextmanager
def applied(mesh: Mesh, *documents: Mapping[str, Any]) -> Iterator[None]:
    mesh.converged(mesh.change(list(documents)))
    try:
        yield
    finally:
        mesh.change([], delete=list(documents))


def connections(mesh: Mesh) -> list[str]:
    rows = mesh.pilot().get("/debug/adsz", proxyID="edge.edge")["clients"]
    return sorted(row["connectionId"] for row in rows)


def test_a_certificate_from_a_secret_and_its_successor(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    first, second = issue(root, HOST), issue(root, HOST)
    manifest = tmp_path / "secret.yaml"
    manifest.write_text(yaml.safe_dump(secret("shop-cert", key_pair(first))))
    mesh.run_here("apply", "-f", str(manifest))
    client = Client(mesh, root)
    with applied(mesh, gateway("shop", [HOST], {"mode": "SIMPLE", "credentialName": "shop-cert"}), bound("shop", HOST)):
        status, saw = wait_until("an answer over TLS", client.answer)
        assert (status, saw["workload"]) == (200, "ledger")
        assert client.shown() == first.chain
        streams = connections(mesh)
        with client.connected() as kept:
            manifest.write_text(yaml.safe_dump(secret("shop-cert", key_pair(second))))
            mesh.run_here("apply", "-f", str(manifest))
            wait_until("the new certificate", lambda: client.shown() == second.chain)
            assert ask(kept, HOST)[0] == 200, "an open connection goes on"
        assert connections(mesh) == streams, "no stream was opened anew for it"
        manifest.write_text(yaml.safe_dump(secret("shop-cert", {"tls.crt": first.chain, "tls.key": second.key.pem})))
        mesh.run_here("apply", "-f", str(manifest))
        mesh.run_here("delete", "secret", "shop-cert", "-n", NAMESPACE)
        wait_until("both faults are told", lambda: sum(PROBLEM in line for line in pilot_log(mesh)) >= 2)
        assert client.shown() == second.chain, "an Envoy that has a certificate goes on with it"
    leaked = [name for name, text in mesh.logs() if base64.b64encode(first.key.pem).decode()[:40] in text]
    assert leaked == []


def pilot_log(mesh: Mesh) -> list[str]:
    return next(text for name, text in mesh.logs() if name == "pilot.log").splitlines()


def is_told(mesh: Mesh, resource: str) -> bool:
    return any(resource in line and PROBLEM in line for line in pilot_log(mesh))


def test_clients_are_checked_against_the_root_of_the_secret(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    pair, own = issue(root, HOST), issue(root, "partner.test")
    stranger = issue(make_ca("somebody else"), "partner.test")
    documents = [
        secret("mutual", key_pair(pair)),
        secret("mutual-cacert", {"ca.crt": root.root_pem}, "Opaque"),
        gateway("mutual", [HOST], {"mode": "MUTUAL", "credentialName": "mutual"}),
        bound("mutual", HOST),
    ]
    with applied(mesh, *documents):
        known = Client(mesh, root, own, tmp_path)
        assert wait_until("an answer over mutual TLS", known.answer)[0] == 200
        assert Client(mesh, root).answer() is None
        assert Client(mesh, root, stranger, tmp_path).answer() is None


def test_one_file_format_and_the_other(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    pair, own = issue(root, HOST), issue(root, "partner.test")
    generic = secret("generic", {"cert": pair.chain, "key": pair.key.pem, "cacert": root.root_pem}, "Opaque")
    tls = {"mode": "OPTIONAL_MUTUAL", "credentialName": "generic"}
    with applied(mesh, generic, gateway("generic", [HOST], tls), bound("generic", HOST)):
        assert wait_until("an answer without a certificate", Client(mesh, root).answer)[0] == 200
        assert Client(mesh, root, own, tmp_path).get()[0] == 200


def test_a_secret_that_is_not_there_holds_nobody_else_back(mesh: Mesh, root: TestCa) -> None:
    good, bad = "good.edge.test", "bad.edge.test"
    documents = [
        secret("good", key_pair(issue(root, good))),
        gateway("bad", [bad], {"mode": "SIMPLE", "credentialName": "nowhere"}),
        gateway("good", [good], {"mode": "SIMPLE", "credentialName": "good"}),
        bound("bad", bad),
        bound("good", good),
    ]
    client = Client(mesh, root)
    with applied(mesh, *documents):
        assert wait_until("the good host", lambda: client.answer(good))[0] == 200
        assert client.answer(bad) is None
        late = secret("nowhere", key_pair(issue(root, bad)))
        mesh.change([late])
        assert wait_until("the late one", lambda: client.answer(bad))[0] == 200
        mesh.change([], delete=[late])


def test_a_proxy_gets_no_secret_of_another_namespace(mesh: Mesh, root: TestCa) -> None:
    elsewhere = secret("theirs", key_pair(issue(root, HOST)))
    elsewhere["metadata"]["namespace"] = "books"
    documents = [elsewhere, bound("theft", HOST)]
    for name in ("theirs", "kubernetes://books/theirs"):
        stolen = gateway("theft", [HOST], {"mode": "SIMPLE", "credentialName": name})
        with applied(mesh, *documents, stolen):
            assert Client(mesh, root).answer() is None
            wait_until("it is told", partial(is_told, mesh, f'"kubernetes://{name.removeprefix("kubernetes://")}"'))
            assert Client(mesh, root).answer() is None


def test_certificates_of_files_and_their_successors(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    first, second, own = issue(root, HOST), issue(root, HOST), issue(root, "partner.test")
    files = {name: tmp_path / f"{name}.pem" for name in ("chain", "key", "root")}
    for name, content in (("chain", first.chain), ("key", first.key.pem), ("root", root.root_pem)):
        files[name].write_bytes(content)
    tls = {"mode": "MUTUAL", "serverCertificate": str(files["chain"]), "privateKey": str(files["key"])}
    tls["caCertificates"] = str(files["root"])
    with applied(mesh, gateway("files", [HOST], tls), bound("files", HOST)):
        client = Client(mesh, root, own, tmp_path)
        assert wait_until("an answer over mutual TLS", client.answer)[0] == 200
        assert client.shown() == first.chain
        assert Client(mesh, root).answer() is None
        files["chain"].write_bytes(second.chain)
        files["key"].write_bytes(second.key.pem)
        wait_until("the new certificate", lambda: client.shown() == second.chain)


def test_the_oldest_version_that_is_spoken(mesh: Mesh, root: TestCa) -> None:
    tls = {"mode": "SIMPLE", "credentialName": "modern", "minProtocolVersion": "TLSV1_3"}
    cert = secret("modern", key_pair(issue(root, HOST)))
    with applied(mesh, cert, gateway("modern", [HOST], tls), bound("modern", HOST)):
        client = Client(mesh, root)
        assert wait_until("an answer over TLS 1.3", client.answer)[0] == 200
        client.speak_no_newer_than(ssl.TLSVersion.TLSv1_2)
        assert client.answer() is None


def test_the_cipher_suites_that_are_spoken(mesh: Mesh, root: TestCa) -> None:
    tls = {"mode": "SIMPLE", "credentialName": "ciphers", "cipherSuites": ["ECDHE-ECDSA-AES256-GCM-SHA384"]}
    cert = secret("ciphers", key_pair(issue(root, HOST)))
    with applied(mesh, cert, gateway("ciphers", [HOST], tls), bound("ciphers", HOST)):
        client = Client(mesh, root)
        client.speak_no_newer_than(ssl.TLSVersion.TLSv1_2)
        client.offer("ECDHE-ECDSA-AES256-GCM-SHA384")
        assert wait_until("an answer with the suite", client.answer)[0] == 200
        client.offer("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert client.answer() is None


def test_tls_ends_at_the_gateway_and_the_bytes_go_where_tcp_rules_say(mesh: Mesh, root: TestCa) -> None:
    """By server name, then by the first rule whose conditions hold; the application gets what was in the TLS."""
    ports = {HOST: "ledger.books.svc.cluster.local", "raw.edge.test": "echo.default.svc.cluster.local"}
    documents = []
    for number, (host, service) in enumerate(ports.items()):
        name = f"bytes-{number}"
        rules = bound(name, host)
        other = {"destination": {"host": "nobody.books.svc.cluster.local", "port": {"number": 9000}}}
        chosen = {"destination": {"host": service, "port": {"number": 9000}}}
        del rules["spec"]["http"]
        rules["spec"]["tcp"] = [{"match": [{"port": 444}], "route": [other]}, {"route": [chosen]}]
        tls = {"mode": "SIMPLE", "credentialName": name}
        documents += [secret(name, key_pair(issue(root, host))), gateway(name, [host], tls, "TLS"), rules]
    client = Client(mesh, root)

    def echoed(host: str) -> bytes:
        try:
            with client.connected(host) as connection:
                connection.sendall(b"hello\n")
                return connection.makefile("rb").readline()
        except OSError:
            return b""

    with applied(mesh, *documents):
        assert wait_until("bytes over TLS", lambda: echoed(HOST)) == b"ledger hello\n"
        assert wait_until("the other host's", lambda: echoed("raw.edge.test")) in (
            b"echo-v1 hello\n",
            b"echo-v2 hello\n",
        )
        assert echoed("other.edge.test") == b""


def test_an_ingress_serves_its_hosts_with_the_secret_that_it_names(mesh: Mesh, root: TestCa) -> None:
    """The Secret is the gateway's: Istio looks for it in the namespace of the gateway, not of the Ingress."""
    backend = {"service": {"name": "ledger", "port": {"name": "http"}}}
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "shop", "namespace": "books", "annotations": {"kubernetes.io/ingress.class": "istio"}},
        "spec": {
            "tls": [{"hosts": [HOST], "secretName": "ingress-cert"}],
            "rules": [{"host": HOST, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        },
    }
    pair = issue(root, HOST)
    with applied(mesh, secret("ingress-cert", key_pair(pair)), ingress):
        client = Client(mesh, root)
        status, saw = wait_until("an answer over TLS", client.answer)
        assert (status, saw["workload"]) == (200, "ledger")
        assert client.shown() == pair.chain
    wait_until("the Ingress is gone", lambda: client.answer() is None)


def test_a_sidecar_ends_tls_of_its_own_where_it_takes_no_mesh_tls(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    pair, before = issue(root, HOST), mesh.mesh_config()
    files = {"serverCertificate": tmp_path / "chain.pem", "privateKey": tmp_path / "key.pem"}
    files["serverCertificate"].write_bytes(pair.chain)
    files["privateKey"].write_bytes(pair.key.pem)
    general = yaml.safe_load(before["data"]["mesh"])
    config = {**general.get("defaultConfig", {}), "proxyMetadata": {"ENABLE_TLS_ON_SIDECAR_INGRESS": "true"}}
    text = yaml.safe_dump({**general, "defaultConfig": config})
    metadata = {"name": "own-tls", "namespace": "books"}
    port = {"number": 9080, "protocol": "HTTPS", "name": "https"}
    tls = {"mode": "SIMPLE", **{name: str(path) for name, path in files.items()}}
    ingress = {"port": port, "defaultEndpoint": "127.0.0.1:9080", "tls": tls}
    sidecar = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": metadata,
        "spec": {"workloadSelector": {"labels": {"app": "ledger"}}, "ingress": [ingress]},
    }
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": metadata,
        "spec": {"mtls": {"mode": "DISABLE"}},
    }
    client = Client(mesh, root)
    client.call(str(mesh.workload("ledger")["address"]), 9080)
    with applied(mesh, sidecar, policy):
        assert client.answer() is None, "by default such a block does nothing"
        mesh.converged(mesh.change([{**before, "data": {**before["data"], "mesh": text}}]))
        try:
            status, saw = wait_until("an answer over TLS", client.answer)
            assert (status, saw["workload"], client.shown()) == (200, "ledger", pair.chain)
        finally:
            mesh.converged(mesh.change([before]))


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


@pytest.fixture
def server_outside(mesh: Mesh, root: TestCa) -> Iterator[str]:
    """The gateway as a server that wants certificates of `root`; its address."""
    pair = issue(root, HOST)
    cert = secret("outside", {"cert": pair.chain, "key": pair.key.pem, "cacert": root.root_pem}, "Opaque")
    tls = {"mode": "MUTUAL", "credentialName": "outside"}
    with applied(mesh, cert, gateway("outside", [HOST], tls), bound("outside", HOST)):
        yield str(mesh.workload("edge")["address"])


def test_a_sidecar_originates_tls_with_a_secret_when_its_rule_selects_it(
    mesh: Mesh, root: TestCa, server_outside: str
) -> None:
    own = issue(root, "partner.test")
    cert = secret("partner", {"cert": own.chain, "key": own.key.pem, "cacert": root.root_pem}, "Opaque")
    cert["metadata"]["namespace"] = "default"
    tls = {"credentialName": "partner", "subjectAltNames": [HOST]}
    with applied(mesh, cert, *outside(tls, server_outside, {"app": "client"})):
        reply = wait_until("an answer from outside", lambda: good(mesh))
        assert reply["workload"] == "ledger"
    with applied(mesh, cert, *outside(tls, server_outside, None)):
        assert not mesh.get(f"http://{HOST}/").good, "without a selector no TLS is originated"


def test_an_egress_gateway_originates_tls_with_a_secret(mesh: Mesh, root: TestCa, server_outside: str) -> None:
    """The client speaks plain HTTP; the gateway shows the certificate of a Secret in its own namespace."""
    own, stranger = issue(root, "partner.test"), issue(make_ca("somebody else"), "partner.test")

    def partner(pair: ServiceIdentity) -> dict[str, Any]:
        return secret("partner", {"cert": pair.chain, "key": pair.key.pem, "cacert": root.root_pem}, "Opaque")

    entry, rule = outside({"credentialName": "partner", "subjectAltNames": [HOST]}, server_outside, None)
    rule["metadata"]["namespace"] = NAMESPACE
    way_out = gateway("out", [HOST], {})
    way_out["spec"]["servers"] = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [HOST]}]
    routes = bound("out", HOST)
    routes["spec"] |= {
        "gateways": ["mesh", "out"],
        "http": [
            {
                "match": [{"gateways": ["mesh"]}],
                "route": [{"destination": {"host": "edge.edge.svc.cluster.local", "port": {"number": 80}}}],
            },
            {"match": [{"gateways": ["edge/out"]}], "route": [{"destination": {"host": HOST, "port": {"number": 80}}}]},
        ],
    }
    with applied(mesh, partner(stranger), entry, rule, way_out, routes):
        assert mesh.get(f"http://{HOST}/").status == 503, "the server does not know this certificate"
        mesh.converged(mesh.change([partner(own)]))  # a revision with nothing but a Secret has a receipt, too
        reply = good(mesh)
        assert reply is not None
        assert reply["workload"] == "ledger"


def test_a_sidecar_originates_tls_with_files(mesh: Mesh, root: TestCa, server_outside: str, tmp_path: Path) -> None:
    own, stranger = issue(root, "partner.test"), issue(make_ca("somebody else"), "partner.test")
    files = {name: tmp_path / f"{name}.pem" for name in ("chain", "key", "root")}
    for name, content in (("chain", stranger.chain), ("key", stranger.key.pem), ("root", root.root_pem)):
        files[name].write_bytes(content)
    tls = {"clientCertificate": str(files["chain"]), "privateKey": str(files["key"])}
    tls["caCertificates"] = str(files["root"])
    with applied(mesh, *outside(tls, server_outside, None)):
        assert not mesh.get(f"http://{HOST}/").good, "the server does not know this certificate"
        files["chain"].write_bytes(own.chain)
        files["key"].write_bytes(own.key.pem)
        assert wait_until("an answer from outside", lambda: good(mesh))["workload"] == "ledger"


def test_a_server_outside_must_have_one_of_the_names_of_its_entry(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    pair, file = issue(root, HOST), tmp_path / "root.pem"
    file.write_bytes(root.root_pem)
    cert = secret("outside", {"cert": pair.chain, "key": pair.key.pem}, "Opaque")
    server = gateway("outside", [HOST], {"mode": "SIMPLE", "credentialName": "outside"})
    tls = {"mode": "SIMPLE", "caCertificates": str(file)}
    entry, rule = outside(tls, str(mesh.workload("edge")["address"]), None)
    right, wrong = ({**entry, "spec": {**entry["spec"], "subjectAltNames": [name]}} for name in (HOST, "another.test"))
    with applied(mesh, cert, server, bound("outside", HOST), right, rule):
        assert wait_until("an answer from outside", lambda: good(mesh))["workload"] == "ledger"
        mesh.converged(mesh.change([wrong]))
        assert mesh.get(f"http://{HOST}/").status == 503
        mesh.converged(mesh.change([right]))
        assert wait_until("an answer from outside again", lambda: good(mesh))["workload"] == "ledger"


def test_a_server_that_speaks_tls_1_3_alone_is_reached(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    pair, file = issue(root, HOST), tmp_path / "root.pem"
    file.write_bytes(root.root_pem)
    cert = secret("outside", {"cert": pair.chain, "key": pair.key.pem}, "Opaque")
    newest = {"mode": "SIMPLE", "credentialName": "outside", "minProtocolVersion": "TLSV1_3"}
    tls = {"mode": "SIMPLE", "caCertificates": str(file)}
    address = str(mesh.workload("edge")["address"])
    with applied(mesh, cert, gateway("outside", [HOST], newest), bound("outside", HOST), *outside(tls, address, None)):
        assert wait_until("an answer from outside", lambda: good(mesh))["workload"] == "ledger"


def test_a_server_must_have_the_certificate_of_the_host_that_was_called(
    mesh: Mesh, root: TestCa, tmp_path: Path
) -> None:
    """Whatever the server name, the gateway shows the certificate of `HOST`."""
    pair, file = issue(root, HOST), tmp_path / "root.pem"
    file.write_bytes(root.root_pem)
    cert = secret("outside", {"cert": pair.chain, "key": pair.key.pem}, "Opaque")
    server = gateway("outside", ["*"], {"mode": "SIMPLE", "credentialName": "outside"})
    tls = {"mode": "SIMPLE", "sni": "", "caCertificates": str(file)}
    other = virtual_service("other.test", [{"route": [{"destination": {"host": HOST}}]}])
    address = str(mesh.workload("edge")["address"])
    with applied(mesh, cert, server, bound("outside", "*"), *outside(tls, address, None), other):
        assert wait_until("an answer from outside", lambda: good(mesh))["workload"] == "ledger"
        assert mesh.get("http://other.test/").status == 503


def good(mesh: Mesh) -> dict[str, Any] | None:
    reply = mesh.get(f"http://{HOST}/")
    return dict(reply.body) if reply.good else None
