"""What goes with a gateway's certificate: roots from a ConfigMap, and the authority's word that it is good."""

from __future__ import annotations

from pathlib import Path

from mesh import Mesh, wait_until
from meshcore.testing.authorities import ocsp_der
from meshcore.testing.identity import TestCa, make_ca
from tls_hosts import HOST, Client, applied, bound, gateway, issue, key_pair, secret


def test_clients_are_checked_against_the_root_of_a_config_map_of_any_namespace(
    mesh: Mesh, root: TestCa, tmp_path: Path
) -> None:
    partners = make_ca("partners")
    pair, known, stranger = issue(root, HOST), issue(partners, "partner.test"), issue(root, "stranger.test")
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "partners", "namespace": "books"}}
    stapled = {**key_pair(pair), "tls.ocsp-staple": ocsp_der(pair.certificate, root)}
    tls = {"mode": "MUTUAL", "credentialName": "stapled", "caCertCredentialName": "configmap://books/partners"}
    documents = [
        {**config_map, "data": {"ca.crt": partners.root_pem.decode()}},
        secret("stapled", stapled),
        gateway("stapled", [HOST], tls),
        bound("stapled", HOST),
    ]
    with applied(mesh, *documents):
        partner = Client(mesh, root, known, tmp_path)
        assert wait_until("an answer over mutual TLS", partner.answer)[0] == 200
        assert Client(mesh, root, stranger, tmp_path).answer() is None
        mesh.change([{**config_map, "data": {"ca.crt": root.root_pem.decode()}}])
        other = Client(mesh, root, stranger, tmp_path)
        assert wait_until("an answer to whom the new root vouches for", other.answer)[0] == 200
        assert Client(mesh, root, known, tmp_path).answer() is None
