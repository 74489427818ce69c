"""Certificates of a gateway from Secrets: used, changed under open connections, and in nobody else's way."""

from __future__ import annotations

import base64
import ssl
from functools import partial
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from mesh import Mesh, wait_until
from meshcore.testing.identity import TestCa, make_ca
from tls_hosts import HOST, NAMESPACE, Client, applied, ask, bound, gateway, issue, key_pair, revoking, secret

PROBLEM = "secret is not served as it is"


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
        told = problems(mesh)
        manifest.write_text(yaml.safe_dump(secret("shop-cert", {"tls.crt": first.chain, "tls.key": second.key.pem})))
        mesh.run_here("apply", "-f", str(manifest))
        wait_until("the first fault is told", lambda: problems(mesh) > told)
        told = problems(mesh)
        mesh.run_here("delete", "secret", "shop-cert", "-n", NAMESPACE)
        wait_until("the second, too", lambda: problems(mesh) > told)
        assert client.shown() == second.chain, "an Envoy that has a certificate goes on with it"
    leaked = [name for name, text in mesh.logs() if base64.b64encode(first.key.pem).decode()[:40] in text]
    assert leaked == []


def pilot_log(mesh: Mesh) -> list[str]:
    return next(text for name, text in mesh.logs() if name == "pilot.log").splitlines()


def problems(mesh: Mesh) -> int:
    return sum(PROBLEM in line and "shop-cert" in line for line in pilot_log(mesh))


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


def test_of_two_certificates_a_client_is_shown_the_one_that_it_can_verify(mesh: Mesh, root: TestCa) -> None:
    rsa_pair = root.issue(None, dns=[HOST], ips=[], key=rsa.generate_private_key(65537, 2048))
    pairs = {"ECDHE-ECDSA-AES256-GCM-SHA384": issue(root, HOST), "ECDHE-RSA-AES256-GCM-SHA384": rsa_pair}
    names = ["both-ec", "both-rsa"]
    secrets = [secret(name, key_pair(pair)) for name, pair in zip(names, pairs.values(), strict=True)]
    tls = {"mode": "SIMPLE", "credentialNames": names}
    with applied(mesh, *secrets, gateway("both", [HOST], tls), bound("both", HOST)):
        client = Client(mesh, root)
        assert wait_until("an answer over TLS", client.answer)[0] == 200
        client.speak_no_newer_than(ssl.TLSVersion.TLSv1_2)
        for suite, pair in pairs.items():
            client.offer(suite)
            assert client.shown() == pair.chain


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


def test_a_client_whose_certificate_is_revoked_is_let_in_nowhere(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    pair, kept, gone = issue(root, HOST), issue(root, "partner.test"), issue(root, "former.test")
    contents = {"chain": pair.chain, "key": pair.key.pem, "root": root.root_pem, "revoked": revoking(root, gone)}
    files = {name: tmp_path / f"{name}.pem" for name in contents}
    for name, content in contents.items():
        files[name].write_bytes(content)
    tls = {"mode": "MUTUAL", "serverCertificate": str(files["chain"]), "privateKey": str(files["key"])}
    tls |= {"caCertificates": str(files["root"]), "caCrl": str(files["revoked"])}
    with applied(mesh, gateway("revoked", [HOST], tls), bound("revoked", HOST)):
        former, partner = Client(mesh, root, gone, tmp_path), Client(mesh, root, kept, tmp_path)
        assert wait_until("an answer over mutual TLS", partner.answer)[0] == 200
        assert former.answer() is None
        files["revoked"].write_bytes(revoking(root))
        assert wait_until("an answer for whom nobody revokes any more", former.answer)[0] == 200


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
