"""gRPC applications without a proxy, with certificates of the mesh from their agents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
from mesh import Mesh, wait_until, workload

APP = Path(__file__).with_name("grpc_names.py")
SPACE = "bare"
PORT, ASKED = 9090, 9091
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "names", "namespace": SPACE},
    "spec": {"selector": {"app": "names"}, "ports": [{"name": "grpc", "port": PORT, "targetPort": PORT}]},
}
TOKENS = {
    "apiVersion": "security.istio.io/v1",
    "kind": "RequestAuthentication",
    "metadata": {"name": "bare", "namespace": SPACE},
    "spec": {"jwtRules": [{"issuer": "https://issuer.example", "jwks": '{"keys": []}'}]},
}
TARGET = f"names.{SPACE}.svc.cluster.local:{PORT}"


def bare(name: str, *words: str) -> dict[str, Any]:
    """A workload without a proxy; its application waits for its bootstrap."""
    command = ["{python}", str(APP), "--host", "{host}", *words]
    return workload(name, namespace=SPACE, type="grpc", ports=[], command=command)


def peers(mode: str) -> dict[str, Any]:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "bare", "namespace": SPACE},
        "spec": {"mtls": {"mode": mode}},
    }


def policy(action: str, account: str) -> dict[str, Any]:
    source = {"source": {"principals": [f"cluster.local/ns/{SPACE}/sa/{account}"]}}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "bare", "namespace": SPACE},
        "spec": {"selector": {"matchLabels": {"app": "names"}}, "action": action, "rules": [{"from": [source]}]},
    }


def spiffe(account: str) -> str:
    return f"spiffe://cluster.local/ns/{SPACE}/sa/{account}"


def test_applications_without_a_proxy_speak_mtls_with_certificates_of_citadel_and_follow_policies(mesh: Mesh) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
    for document in (namespace, SERVICE, peers("STRICT")):
        mesh.config.apply(document)
    mesh.add(bare("names"), bare("asker", "--plain-port", str(ASKED)))
    try:
        with grpc.insecure_channel(f"{mesh.workload('asker')['address']}:{ASKED}") as channel:

            def asked(token: str = "") -> str:
                question = channel.unary_unary("/books.Names/Get")
                return str(question(f"{TARGET} {token}".encode(), timeout=60, wait_for_ready=True).decode())

            wait_until("both have their listeners", lambda: asked() == spiffe("asker"))
            with grpc.insecure_channel(f"{mesh.workload('names')['address']}:{PORT}") as plain:
                try:
                    answer = plain.unary_unary("/books.Names/Get")(b"", timeout=60)
                except grpc.RpcError as error:
                    answer = error.code()
                assert answer == grpc.StatusCode.UNAVAILABLE, "plaintext is refused"
            mesh.config.apply(peers("DISABLE"))
            wait_until("plaintext", lambda: asked() == "nobody")
            mesh.config.apply(peers("STRICT"))
            wait_until("mTLS again", lambda: asked() == spiffe("asker"))
            mesh.config.apply(policy("DENY", "asker"))
            wait_until("the asker is denied", lambda: asked().startswith("PERMISSION_DENIED"))
            mesh.config.apply(policy("ALLOW", "asker"))
            wait_until("the asker is allowed", lambda: asked() == spiffe("asker"))
            mesh.config.apply(policy("ALLOW", "somebody"))
            wait_until("only others are allowed", lambda: asked().startswith("PERMISSION_DENIED"))
            mesh.config.delete(policy("ALLOW", "somebody"))
            wait_until("without a policy all are allowed", lambda: asked() == spiffe("asker"))
            assert asked("any.token.passes") == spiffe("asker")
            mesh.config.apply(TOKENS)
            wait_until("a token is refused", lambda: asked("nobody.can.check").startswith("PERMISSION_DENIED"))
            wait_until("who shows none passes", lambda: asked() == spiffe("asker"))
    finally:
        for document in (SERVICE, peers("STRICT"), TOKENS):
            mesh.config.delete(document)
