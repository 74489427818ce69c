"""A small control plane and real workloads for the agent's tests.

`mesh` has a certificate authority and a Pilot that speak the real protocols on loopback addresses of their own, and
starts agents as processes, as an operator would, each with its real Envoy.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from envoy_bootstrap.core.discovery import DeltaDiscovery, Resources, Versioned
from google.protobuf import json_format
from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc
from meshcore._generated.meshcore.audit.v1 import audit_pb2, audit_pb2_grpc
from meshcore.testing import addresses
from meshcore.testing.identity import make_ca
from meshcore.tls import ServiceIdentity, grpc_server_credentials
from meshcore.xds import registry
from meshcore.xds.types import EXTENSION_CONFIG_TYPE, HEALTH_TYPE, NAME_TABLE_TYPE, SECRET_TYPE

WITHIN = 60.0


class FakeCitadel(ca_pb2_grpc.IstioCertificateServiceServicer):
    """Signs what it is asked for: who may have what is Citadel's own test. Counts tokens and takes failures to play."""

    def __init__(self, ca: Any) -> None:
        self.ca = ca
        self.tokens: list[str] = []
        self.issued = 0
        self.failures: list[grpc.StatusCode] = []

    async def CreateCertificate(self, request: Any, context: Any) -> Any:
        headers = dict(context.invocation_metadata())
        if "authorization" in headers:
            self.tokens.append(headers["authorization"])
        if self.failures:
            await context.abort(self.failures.pop(0), "played by the test")
        csr = x509.load_pem_x509_csr(request.csr.encode())
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        now = datetime.now(UTC)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.ca.certificate.subject)
            .public_key(csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=2))
            .not_valid_after(now + timedelta(seconds=request.validity_duration))
            .add_extension(names.value, critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .sign(self.ca.key, hashes.SHA256())
        )
        self.issued += 1
        pem = leaf.public_bytes(serialization.Encoding.PEM).decode()
        return ca_pb2.IstioCertificateResponse(cert_chain=[pem, self.ca.root_pem.decode()])


class FakeAudit(audit_pb2_grpc.AuditServiceServicer):
    """Keeps what it is told, once for each batch, and takes failures to play; what may be stored is Citadel's test."""

    def __init__(self) -> None:
        self.batches: dict[str, Any] = {}
        self.failures: list[grpc.StatusCode] = []
        self.sent: list[str] = []

    async def Report(self, request: Any, context: Any) -> Any:
        self.sent.append(request.batch_id)
        if self.failures:
            await context.abort(self.failures.pop(0), "played by the test")
        self.batches.setdefault(request.batch_id, request)
        return audit_pb2.ReportResponse(stored=len(request.records))

    @property
    def records(self) -> list[Any]:
        return [record for batch in self.batches.values() for record in batch.records]

    @property
    def lost(self) -> int:
        return sum(batch.lost for batch in self.batches.values())


class FakePilot(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    """Serves each Envoy the resources set for its pod, and writes down what the agents say."""

    def __init__(self) -> None:
        self.resources: dict[str, Resources] = {}
        self.kept: dict[str, Resources] = {}
        """What an agent is given that it asks for."""
        self.said: dict[str, list[str]] = {}
        self.nodes: dict[str, Any] = {}
        self.envoy_streams: dict[str, int] = {}
        self.confirms_drain = True
        self.names = b""
        self.problems: list[str] = []

    async def DeltaAggregatedResources(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        first = await anext(requests)
        if not first.node.id:
            self.problems.append(f"a stream began without a node: {first}")
        pod = first.node.id.split("~")[2].split(".")[0]
        serve = self._agent if "GENERATOR" in first.node.metadata else self._envoy
        async for response in serve(pod, first, requests, context):
            yield response

    async def _envoy(self, pod: str, first: Any, requests: Any, _: Any) -> AsyncIterator[Any]:
        self.envoy_streams[pod] = self.envoy_streams.get(pod, 0) + 1
        session = DeltaDiscovery(self.resources.get(pod, {}))
        for response in session.request_received(first):
            yield response
        async for request in requests:
            if request.HasField("error_detail"):
                self.problems.append(request.error_detail.message)
            for response in session.request_received(request):
                yield response

    async def _agent(self, pod: str, first: Any, requests: Any, context: Any) -> AsyncIterator[Any]:
        said = self.said.setdefault(pod, [])
        self.nodes[pod] = first.node
        said.append("opened")
        try:
            table = discovery_pb2.DeltaDiscoveryResponse(type_url=NAME_TABLE_TYPE, nonce="1")
            if self.names:
                table.resources.add(name="", version="1").resource.value = self.names
            yield table
            session = DeltaDiscovery(self.kept.get(pod, {}))
            async for request in requests:
                if request.type_url in (SECRET_TYPE, EXTENSION_CONFIG_TYPE):
                    for response in session.request_received(request):
                        yield response
                    continue
                if request.type_url != HEALTH_TYPE or request.response_nonce:
                    continue
                said.append(request.error_detail.message or "healthy")
                if request.error_detail.message == "the proxy is draining" and self.confirms_drain:
                    yield discovery_pb2.DeltaDiscoveryResponse(type_url=HEALTH_TYPE, nonce="2")
            if first.node.metadata["GENERATOR"] == "agent":
                # A stream that is cancelled reads as ended, too; only one that ended in good order can be written to.
                await context.write(discovery_pb2.DeltaDiscoveryResponse(type_url=HEALTH_TYPE, nonce="3"))
        except asyncio.CancelledError:
            said.append("broken")
            raise
        said.append("ended in good order")


class Workload:
    """One agent process and its Envoy."""

    def __init__(self, process: asyncio.subprocess.Process, ip: str, state: Path, log: Path) -> None:
        self.process = process
        self.ip = ip
        self.state = state
        self.log = log

    async def get(self, port: int, path: str = "/", **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(timeout=20, verify=False) as client:
            return await client.get(f"http://{self.ip}:{port}{path}", **options)

    async def post(self, port: int, path: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=20, verify=False) as client:
            return await client.post(f"http://{self.ip}:{port}{path}")

    async def ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return (await self.get(15021, "/healthz/ready")).status_code == 200
        return False

    async def admin(self, path: str) -> str:
        transport = httpx.AsyncHTTPTransport(uds=str(self.state / "admin.sock"), verify=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=20) as client:
            return (await client.get(path)).raise_for_status().text

    async def envoy_pid(self) -> int:
        for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            if "envoy" in Path(f"/proc/{pid}/exe").resolve().name:
                return int(pid)
        raise AssertionError("the agent has no Envoy")

    async def terminate(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN):
            return await self.process.wait()


class Mesh:
    def __init__(self, directory: Path, claim: Any) -> None:
        self.directory = directory
        self.claim = claim
        self.ca = make_ca()
        self.citadel = FakeCitadel(self.ca)
        self.audit = FakeAudit()
        self.pilot = FakePilot()
        self.pilot_address = f"{claim.address(2)}:15012"
        self.citadel_address = f"{claim.address(3)}:8060"
        self._pilot_server: Any = None
        self._citadel_server: Any = None
        self._workloads: list[Workload] = []
        (directory / "root-cert.pem").write_bytes(self.ca.root_pem)
        (directory / "token").write_text("a-token")

    async def start_pilot(self, shown: ServiceIdentity | None = None) -> None:
        """`shown` is a serving certificate of somebody else's; clients must be of the mesh in any case."""
        ip = self.claim.address(2)
        identity = self.ca.issue("spiffe://cluster.local/ns/istio-system/sa/pilot", ips=[ip])
        if shown is not None:
            identity = ServiceIdentity(shown.key, shown.chain, self.ca.root_pem)
        self._pilot_server = server = grpc.aio.server(options=[("grpc.http2.max_ping_strikes", 0)])
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self.pilot, server)
        server.add_secure_port(self.pilot_address, grpc_server_credentials(identity))
        await server.start()

    async def stop_pilot(self) -> None:
        server, self._pilot_server = self._pilot_server, None
        if server is not None:
            await server.stop(None)

    async def start_citadel(self) -> None:
        identity = self.ca.issue("spiffe://cluster.local/ns/istio-system/sa/citadel", ips=[self.claim.address(3)])
        self._citadel_server = server = grpc.aio.server()
        ca_pb2_grpc.add_IstioCertificateServiceServicer_to_server(self.citadel, server)
        audit_pb2_grpc.add_AuditServiceServicer_to_server(self.audit, server)
        server.add_secure_port(self.citadel_address, grpc_server_credentials(identity, require_client=False))
        await server.start()

    async def stop_citadel(self) -> None:
        server, self._citadel_server = self._citadel_server, None
        if server is not None:
            await server.stop(None)

    async def start_workload(
        self, pod: str, number: int, *, root: Path | None = None, arguments: tuple[str, ...] = (), **environment: str
    ) -> Workload:
        """`root` is the folder that the agent runs in: what Istio mounts has relative paths."""
        ip = self.claim.address(10 + number)
        state = self.directory / pod
        log = self.directory / f"{pod}.log"
        given = {
            "PATH": os.environ["PATH"],
            "POD_NAME": pod,
            "POD_NAMESPACE": "shop",
            "SERVICE_ACCOUNT": pod,
            "INSTANCE_IP": ip,
            "CA_ADDR": self.citadel_address,
            "PILOT_ADDR": self.pilot_address,
            "CA_ROOT_CERT": str(self.directory / "root-cert.pem"),
            "TOKEN_PATH": str(self.directory / "token"),
            "STATE_DIR": str(state),
            "MESHCORE_FILE_FOLDERS": tempfile.gettempdir(),
            "ISTIO_META_INTERCEPTION_MODE": "NONE",
            "ISTIO_META_AUTO_REGISTER_GROUP": pod,
            "LOG_FORMAT": "json",
            "PROXY_CONFIG": json.dumps({"terminationDrainDuration": "2s", "drainDuration": "2s"}),
            **environment,
        }
        command = [sys.executable, "-m", "envoy_bootstrap", "proxy", "sidecar", *arguments]
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(*command, env=given, stdout=output, stderr=output, cwd=root)
        workload = Workload(process, ip, state, log)
        self._workloads.append(workload)
        return workload

    async def until(self, condition: Callable[[], Any], what: str, within: float = WITHIN) -> None:
        """Wait for a state that can be seen, or fail with the logs of the workloads."""
        try:
            async with asyncio.timeout(within):
                while True:
                    result = condition()
                    if await result if asyncio.iscoroutine(result) else result:
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            logs = "\n".join(w.log.read_text()[-3000:] for w in self._workloads)
            raise AssertionError(f"{what} was not seen in {within} s; Pilot heard {self.pilot.said}\n{logs}") from None

    async def start_ready(self, pod: str, number: int, *, root: Path | None = None, **environment: str) -> Workload:
        workload = await self.start_workload(pod, number, root=root, **environment)
        await self.until(workload.ready, f"{pod} ready")
        await self.until(lambda: "healthy" in self.pilot.said.get(pod, []), f"{pod} reported healthy")
        return workload

    async def close(self) -> None:
        for workload in self._workloads:
            if workload.process.returncode is None:
                workload.process.kill()
                await workload.process.wait()
        await self.stop_pilot()
        await self.stop_citadel()


def resource(type_url: str, body: dict[str, Any], version: str = "1") -> Versioned:
    message = json_format.ParseDict(body, registry.message_class(type_url)())
    return Versioned(version, message.SerializeToString())


async def get_beside_a_replacement(client: httpx.AsyncClient, url: str, resets: list[str]) -> httpx.Response:
    """GET while one Envoy takes the other's place.

    The kernel resets a connection that no Envoy has taken yet when the socket that it came to is closed (docs/limits.md
    says what it takes to have it moved), which a busy machine has shown once: one such reset is tried again, no more.
    """
    connected = []

    async def trace(event: str, info: Any) -> None:
        if event == "connection.connect_tcp.complete":
            connected.append(event)

    try:
        return await client.get(url, extensions={"trace": trace})
    except (httpx.ReadError, httpx.RemoteProtocolError) as error:
        if resets or not connected:
            raise
        resets.append(repr(error))
        return await get_beside_a_replacement(client, url, resets)


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    directory = Path(tempfile.mkdtemp(prefix="mc-"))
    with addresses.claim() as claim:
        mesh = Mesh(directory, claim)
        await mesh.start_pilot()
        await mesh.start_citadel()
        try:
            yield mesh
        finally:
            await mesh.close()
            shutil.rmtree(directory)
        assert mesh.pilot.problems == []


@pytest.fixture
def make_resource() -> Callable[..., Versioned]:
    return resource
