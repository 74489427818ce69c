"""What becomes of denied requests, of AUDIT policies' hits and, when the mesh says so, of all: records in Citadel."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from mesh import ROWS, Mesh, client, service, virtual_service, wait_until, workload

ECHO = "http://echo:9080"
CALLER = "spiffe://cluster.local/ns/default/sa/client"
ECHO_IDENTITY = "spiffe://cluster.local/ns/default/sa/echo"
QUEUE = 20
ROWS_KEPT = 25


def policy(name: str, action: str, rule: Mapping[str, Any], app: str = "echo") -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": app}}, "action": action, "rules": [rule]}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}


def path_policy(name: str, action: str, path: str, app: str = "echo") -> dict[str, Any]:
    return policy(name, action, {"to": [{"operation": {"paths": [path]}}]}, app)


def strict(app: str = "echo") -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": app}}, "mtls": {"mode": "STRICT"}}
    metadata = {"name": "audited-strict", "namespace": "default"}
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": spec}


@contextlib.contextmanager
def applied(mesh: Mesh, *documents: Mapping[str, Any], **fields: Any) -> Iterator[None]:
    """The documents, and the mesh config with these fields, for as long as the block lasts."""
    before = mesh.mesh_config()
    text = yaml.safe_dump({**yaml.safe_load(before["data"]["mesh"]), **fields})
    mesh.converged(mesh.change([{**before, "data": {**before["data"], "mesh": text}}, *documents]))
    try:
        yield
    finally:
        mesh.converged(mesh.change([before], delete=documents))


def admin(mesh: Mesh, path: str) -> dict[str, Any]:
    token = Path(mesh.layout.admin_token).read_text().strip()
    url = f"http://{mesh.stack.citadel}:15014{path}"
    return (
        httpx.get(url, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=60)
        .raise_for_status()
        .json()
    )


def records(mesh: Mesh, query: str) -> list[dict[str, Any]]:
    return admin(mesh, f"/api/v1/audit?limit=1000&{query}")["items"]


def recorded(mesh: Mesh, query: str, count: int = 1) -> list[dict[str, Any]]:
    """Records that a query finds, as soon as there are so many."""
    found = wait_until(f"{count} records of {query}", lambda: (all_ := records(mesh, query))[count - 1 :] and all_)
    assert len(found) == count, found
    return found


def sidecar(mesh: Mesh, name: str, path: str) -> httpx.Response:
    return httpx.get(f"http://{mesh.workload(name)['address']}:15020{path}", trust_env=False, timeout=60)


def audit_status(mesh: Mesh, name: str) -> dict[str, Any]:
    return json.loads(sidecar(mesh, name, "/audit").text)


def ask_until(mesh: Mesh, path: str, status: int, headers: Mapping[str, str] | None = None) -> None:
    """Returns once a request is answered so: connections that are open when a listener changes keep what it was."""
    wait_until(f"{status} for {path}", lambda: mesh.get(f"{ECHO}{path}", headers=headers).status == status)


def test_a_denied_request_and_an_audit_policys_hit_are_recorded_and_nothing_else(mesh: Mesh) -> None:
    deny = path_policy("audit-closed", "DENY", "/audit-closed")
    watch = path_policy("audit-watch", "AUDIT", "/audit-watched")
    closed, watched = "policy=default/audit-closed&verdict=denied", "policy=audit-watch&verdict=audited"

    def audited() -> list[dict[str, Any]]:
        assert mesh.get(f"{ECHO}/audit-open").good
        assert mesh.get(f"{ECHO}/audit-watched?token=never-kept").good
        return records(mesh, watched)

    with applied(mesh, deny, watch):
        ask_until(mesh, "/audit-closed?token=never-kept", 403, {"authorization": "Bearer never-kept"})
        hits = wait_until("an audited request", audited)
        found = wait_until("a denied request", lambda: records(mesh, closed))
    for denied in found:
        assert (denied["reporter"], denied["principal"], denied["method"]) == (ECHO_IDENTITY, CALLER, "GET")
        assert (denied["path"], denied["response_code"], denied["rule"]) == ("/audit-closed", 403, 0)
        assert denied["reason"] == "rbac_access_denied_matched_policy[ns[default]-policy[audit-closed]-rule[0]]"
        assert denied["instance"] in ("echo-v1", "echo-v2")
    for hit in hits:
        assert (hit["path"], hit["policy"], hit["response_code"]) == ("/audit-watched", "", 200)
    assert "/audit-open" not in {item["path"] for item in records(mesh, f"principal={CALLER}")}
    printed = mesh.run_here("audit", "--policy", "audit-closed", "--verdict", "denied").output
    assert "default/client" in printed
    assert "default/audit-closed[0]" in printed
    listed = mesh.run_here("audit", "--policy", "audit-closed", "--since", "1h", "-o", "json").output
    assert [item["id"] for item in json.loads(listed)["items"]] == [item["id"] for item in reversed(found)]
    assert ECHO_IDENTITY in mesh.run_here("audit", "--losses").output
    assert mesh.run_here("audit", "--since", "yesterday", check=False).exit_code == 1
    assert records(mesh, "policy=default/audit-closed&verdict=audited") == []
    assert records(mesh, "policy=default/audit-closed&principal=spiffe://cluster.local/ns/default/sa/nobody") == []
    assert "never-kept" not in json.dumps(records(mesh, ""))


def test_all_requests_are_recorded_when_the_mesh_config_says_so(mesh: Mesh) -> None:
    address = mesh.workload("echo-v1")["address"]

    def of_requests() -> list[dict[str, Any]]:
        assert mesh.get(f"{ECHO}/audit-every-one").good
        return [item for item in records(mesh, "verdict=allowed") if item["path"] == "/audit-every-one"]

    def of_bytes() -> list[dict[str, Any]]:
        with socket.create_connection((address, 9000), timeout=60) as plain:
            plain.sendall(b"hello")
            assert plain.recv(5) == b"echo-"
        return [item for item in records(mesh, "verdict=allowed") if item["destination"] == f"{address}:9000"]

    with applied(mesh, requestAudit="ALL"):
        requests = wait_until("a request's record", of_requests)
        connections = wait_until("a connection's record", of_bytes)
    # The caller's proxy tells nothing: each record is the one of the side that is called.
    assert {(item["reporter"], item["principal"]) for item in requests} == {(ECHO_IDENTITY, CALLER)}
    assert {(item["protocol"], item["principal"]) for item in connections} == {("TCP", "")}


def source_of(connection: socket.socket) -> str:
    host, port = connection.getsockname()
    return f"{host}:{port}"


def refused_for_its_certificate(address: str, port: int) -> str:
    """Our end of a connection that is refused because it brings no certificate; nothing when it is for another reason.

    TLS 1.3 refuses it in answer to its first bytes.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, port), timeout=60) as raw:
        source = source_of(raw)
        try:
            with context.wrap_socket(raw) as tls:
                tls.sendall(b"hello")
                tls.recv(1)
        except ssl.SSLError as error:
            return source if error.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED" else ""
        except ConnectionError:  # the end came before its reason
            return ""
    return ""


def refused_for_its_plaintext(address: str, port: int) -> str:
    """Our end of a connection that brings no TLS."""
    with socket.create_connection((address, port), timeout=60) as plain:
        source = source_of(plain)
        with contextlib.suppress(ConnectionError):
            plain.sendall(b"GET / HTTP/1.1\r\nhost: echo\r\n\r\n")
            assert plain.recv(100) == b""
    return source


def denied_from(mesh: Mesh, source: str) -> dict[str, Any]:
    found = wait_until(
        f"a record of {source}", lambda: [one for one in records(mesh, "verdict=denied") if one["source"] == source]
    )
    assert len(found) == 1, found
    return found[0]


def test_what_does_not_bring_the_certificate_that_is_asked_for_is_recorded(mesh: Mesh) -> None:
    address = mesh.workload("echo-v1")["address"]
    with applied(mesh, strict()):
        for port in (9080, 9000):
            source = wait_until("STRICT is in force", lambda port=port: refused_for_its_certificate(address, port))
            record = denied_from(mesh, source)
            assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in record["reason"]
            assert (record["destination"], record["principal"]) == (f"{address}:{port}", "")
            record = denied_from(mesh, refused_for_its_plaintext(address, port))
            assert (record["reason"], record["reporter"]) == ("filter_chain_not_found", ECHO_IDENTITY)


def test_a_denied_connection_of_bytes_is_recorded(mesh: Mesh) -> None:
    closed = policy("audit-bytes", "DENY", {"to": [{"operation": {"ports": ["9000"]}}]})
    address = mesh.workload("echo-v2")["address"]

    def is_refused() -> bool:
        with socket.create_connection((address, 9000), timeout=60) as plain, contextlib.suppress(ConnectionError):
            plain.sendall(b"hello")
            return plain.recv(5) == b""
        return True

    with applied(mesh, closed):
        wait_until("the policy is in force", is_refused)
        found = wait_until("a record", lambda: records(mesh, "policy=default/audit-bytes"))
    assert {(one["verdict"], one["protocol"], one["instance"]) for one in found} == {("denied", "TCP", "echo-v2")}


def test_a_token_that_is_refused_and_whose_token_is_taken_are_recorded(mesh: Mesh) -> None:
    rule = {"issuer": "bank.test", "jwks": ROWS.mint.key_set("bank"), "audiences": ["books"]}
    authentication = {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "audit-tokens", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "echo"}}, "jwtRules": [rule]},
    }
    good, bad = (ROWS.mint.token(name) for name in ("ann", "tampered"))
    watch = path_policy("audit-tokens", "AUDIT", "/audit-token")

    def audited() -> list[dict[str, Any]]:
        assert mesh.get(f"{ECHO}/audit-token", headers={"authorization": f"Bearer {good}"}).good
        found = records(mesh, "policy=default/audit-tokens")
        return [item for item in found if item["request_principal"]]

    with applied(mesh, authentication, watch):
        ask_until(mesh, "/audit-bad-token", 401, {"authorization": f"Bearer {bad}"})
        refused = wait_until(
            "the refused token's record",
            lambda: [one for one in records(mesh, "verdict=denied") if one["path"] == "/audit-bad-token"],
        )
        taken = wait_until("the taken token's record", audited)
    assert {(one["response_code"], one["policy"]) for one in refused} == {(401, "")}
    assert refused[0]["reason"].startswith("jwt_authn_access_denied")
    assert {(one["request_principal"], one["verdict"]) for one in taken} == {("bank.test/ann", "audited")}
    shown = json.dumps([*refused, *taken])
    assert good.split(".")[1] not in shown
    assert bad.split(".")[1] not in shown


def test_what_an_external_authorizer_refuses_is_recorded(mesh: Mesh) -> None:
    judge = {"service": "books/ledger.books.svc.cluster.local", "port": 9090}
    asked = policy("audit-judged", "CUSTOM", {"to": [{"operation": {"ports": ["9080", "9000"]}}]})
    asked["spec"]["provider"] = {"name": "judge"}
    address = mesh.workload("echo-v1")["address"]

    def is_closed() -> bool:  # it takes no connection of bytes in plaintext
        with socket.create_connection((address, 9000), timeout=60) as plain, contextlib.suppress(ConnectionError):
            plain.sendall(b"hello")
            return plain.recv(5) == b""
        return True

    with applied(mesh, asked, extensionProviders=[{"name": "judge", "envoyExtAuthzGrpc": judge}]):
        ask_until(mesh, "/refuse", 403)
        wait_until("the authorizer is asked about connections", is_closed)
        found = wait_until(
            "records of a request and of a connection",
            lambda: (
                (all_ := records(mesh, "policy=audit-judged")) and len({one["protocol"] for one in all_}) == 2 and all_
            ),
        )
    assert {(one["verdict"], one["response_flags"]) for one in found} == {("denied", "UAEX")}
    assert {one["path"] for one in found} == {"/refuse", ""}


def test_a_gateway_tells_of_what_it_refuses(mesh: Mesh) -> None:
    closed = policy("audit-edge", "DENY", {"to": [{"operation": {"paths": ["/audit-edge"]}}]}, app="edge")
    closed["metadata"]["namespace"] = "edge"
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["audit.edge.test"]}
    metadata = {"name": "audit-edge", "namespace": "edge"}
    gateway = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": metadata,
        "spec": {"selector": {"app": "edge"}, "servers": [server]},
    }
    route = virtual_service("audit.edge.test", [{"directResponse": {"status": 200}}], "edge")
    route["spec"]["gateways"] = ["audit-edge"]
    port = {"name": "http", "port": 80, "targetPort": 8080}
    ingress = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    ingress["spec"] = {"selector": {"app": "edge"}, "ports": [port]}
    address = mesh.workload("edge")["address"]

    def is_refused() -> bool:
        headers = {"host": "audit.edge.test"}
        with contextlib.suppress(httpx.TransportError):
            url = f"http://{address}:8080/audit-edge?token=never-kept"
            return httpx.get(url, headers=headers, trust_env=False).status_code == 403
        return False

    with applied(mesh, ingress, gateway, route, closed):
        wait_until("the gateway refuses", is_refused)
        found = wait_until("its record", lambda: records(mesh, "policy=edge/audit-edge"))
    assert {(one["verdict"], one["path"], one["authority"]) for one in found} == {
        ("denied", "/audit-edge", "audit.edge.test")
    }
    assert found[0]["reporter"] == "spiffe://cluster.local/ns/edge/sa/edge"


def test_who_follows_the_records_reads_each_as_it_comes(mesh: Mesh) -> None:
    command = [sys.executable, "-m", "meshctl", "audit", "--policy", "audit-followed", "--follow", "-o", "json"]
    with applied(mesh, path_policy("audit-followed", "DENY", "/audit-followed/*")):
        ask_until(mesh, "/audit-followed/1", 403)
        wait_until("the first record", lambda: records(mesh, "policy=audit-followed"))
        with subprocess.Popen(
            command, env=mesh.environment, pass_fds=mesh.locks, stdout=subprocess.PIPE, text=True
        ) as following:
            assert following.stdout is not None
            assert json.loads(following.stdout.readline())["path"] == "/audit-followed/1"
            ask_until(mesh, "/audit-followed/2", 403)
            assert json.loads(following.stdout.readline())["path"] == "/audit-followed/2"
            following.send_signal(signal.SIGINT)
            assert following.wait(60) == 0


def test_telemetry_of_the_user_stays_as_it_is_beside_the_audit(mesh: Mesh, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    provider = {"name": "audit-file", "envoyFileAccessLog": {"path": str(log), "logFormat": {"text": "%REQ(:PATH)%\n"}}}
    telemetry = {
        "apiVersion": "telemetry.istio.io/v1",
        "kind": "Telemetry",
        "metadata": {"name": "audit-beside", "namespace": "default"},
        "spec": {"accessLogging": [{"match": {"mode": "SERVER"}, "providers": [{"name": "audit-file"}]}]},
    }
    closed = path_policy("audit-beside", "DENY", "/audit-beside")
    with applied(mesh, telemetry, closed, extensionProviders=[provider]):
        ask_until(mesh, "/audit-beside", 403)
        lines = wait_until("a line of the log", lambda: log.exists() and log.read_text().splitlines())
        wait_until("a record", lambda: records(mesh, "policy=default/audit-beside"))
    assert set(lines) == {"/audit-beside"}


@pytest.fixture
def small_mesh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mesh]:
    """A mesh whose supervisor restarts nothing, with an agent and a Citadel that keep few records."""
    monkeypatch.setenv("CITADEL_AUDIT_MOST_ROWS", str(ROWS_KEPT))
    entries = [client(), workload("echo", proxy_env={"MESHCORE_AUDIT_QUEUE": str(QUEUE)})]
    running = Mesh(entries, "--no-restart").start()
    try:
        running.apply(service("echo"), path_policy("closed", "DENY", "/closed*"))
        wait_until("echo answers", lambda: running.get(f"{ECHO}/").good)
        ask_until(running, "/closed-first", 403)
        yield running
    finally:
        running.close()


def refuse(mesh: Mesh, path: str, count: int) -> None:
    replies = mesh.get_many(f"{ECHO}{path}", count)
    assert [reply.status for reply in replies] == [403] * count


def test_with_citadel_away_no_request_fails_and_the_loss_is_counted(small_mesh: Mesh) -> None:
    mesh = small_mesh
    recorded(mesh, "policy=closed", 1)
    # stored is not answered: what has no answer stays in the queue
    wait_until("the agent knows", lambda: audit_status(mesh, "echo")["sent"] == 1)
    with mesh.traffic(f"{ECHO}/", rate=100) as traffic:
        mesh.kill("citadel")
        refuse(mesh, "/closed-meanwhile", QUEUE + 30)

        def all_seen() -> dict[str, Any] | None:
            said = audit_status(mesh, "echo")
            return said if said["queued"] + said["dropped"] == QUEUE + 30 and said["failure"] else None

        said = wait_until("every record queued or dropped", all_seen)
        assert (said["queued"], said["limit"], said["dropped"]) == (QUEUE, QUEUE, 30)
        shown = sidecar(mesh, "echo", "/metrics").text
        assert 'istio_agent_audit_records_dropped_total{reason="queue-full"} 30.0' in shown
        traffic.send_more(100)
        mesh.up()
        recorded(mesh, "policy=closed", 1 + QUEUE)
        traffic.send_more(100)
        lost = wait_until(
            "the loss told",
            lambda: [one for one in admin(mesh, "/api/v1/audit/reporters")["items"] if one["lost"]],
        )
        assert [(one["reporter"], one["lost"]) for one in lost] == [(ECHO_IDENTITY, 30)]
        # The store is nearly full now: it takes the new and forgets the old, and traffic knows nothing of it.
        refuse(mesh, "/closed-later", ROWS_KEPT - 10)
        wait_until("the last record", lambda: len(of_path(mesh, "/closed-later")) == ROWS_KEPT - 10)
        assert len(of_path(mesh, "/closed-meanwhile")) == 10
        assert len(records(mesh, "")) == ROWS_KEPT
    traffic.assert_no_failure()


def of_path(mesh: Mesh, path: str) -> list[dict[str, Any]]:
    return [item for item in records(mesh, "policy=closed") if item["path"] == path]
