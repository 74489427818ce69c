"""What a certificate costs: issued over gRPC with TLS, its ledger row durable, by a real Citadel on SQLite.

`make bench-ca` runs it; docs/performance.md says how it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import http.server
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import jwt
from citadel.adapters.first_start import InitOptions, initialise
from citadel.core.members import Installation
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc
from meshcore.testing.addresses import claim
from meshcore.tls import PrivateKeyPem, ServiceIdentity, grpc_channel_credentials, grpc_root_credentials

CLIENTS = 16
FLOODERS = 8
RESULTS = Path(__file__).parent / "results"
TARGETS = {"renewals_per_core": (">=", 3000.0), "flooded_p99_milliseconds": ("<", 50.0)}
"""Certificates for a second of Citadel's processor time; the slowest of 100 requests beside a flood of bad ones."""


class Issuer:
    """Signs workload tokens and serves its key, as Galley does."""

    def __init__(self, address: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.url = f"http://{address}:8081"
        fields = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        keys = json.dumps({"keys": [fields | {"kid": "bench", "alg": "ES256", "use": "sig"}]}).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(keys)))
                self.end_headers()
                self.wfile.write(keys)

            def log_message(self, *_: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer((address, 8081), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self, account: str) -> str:
        """For a service account of the namespace `bench`."""
        now = datetime.now(UTC)
        claims = {
            "iss": self.url,
            "sub": f"system:serviceaccount:bench:{account}",
            "aud": ["istio-ca"],
            "exp": now + timedelta(hours=1),
        }
        return jwt.encode(claims, self._key, "ES256", headers={"kid": "bench"})


class Citadel:
    """`python -m citadel` and what it has computed."""

    def __init__(self, process: asyncio.subprocess.Process, address: str, directory: Path) -> None:
        self._process = process
        self.target = f"{address}:8060"
        self.root = (directory / "root-cert.pem").read_bytes()

    def cpu_seconds(self) -> float:
        """All threads, for themselves and in the kernel."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mebibytes(self) -> float:
        """Memory now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


@contextlib.asynccontextmanager
async def citadel_running(directory: Path, address: str, issuer: Issuer) -> AsyncIterator[Citadel]:
    """Initialised, started and ready; stopped in the end."""
    installation = Installation("cluster.local", extra_names={"citadel": [address]})
    await initialise(InitOptions(directory, installation, timedelta(days=3650)))
    environment = {
        "CITADEL_IDENTITY_DIR": str(directory / "citadel"),
        "CITADEL_HOST": address,
        "CITADEL_ADMIN_HOST": address,
        "CITADEL_LOG_FORMAT": "json",
        "CITADEL_LOG_LEVEL": "warning",
        "CITADEL_TOKEN_ISSUER": issuer.url,
        "CITADEL_TOKEN_JWKS_URL": f"{issuer.url}/keys",
        "CITADEL_REQUESTS_PER_SECOND": "0",
    }
    with (directory / "citadel.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "citadel", env=os.environ | environment, stdout=log, stderr=log
        )
    citadel = Citadel(process, address, directory)
    try:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(address, 8060)
                    writer.close()
                    break
                await asyncio.sleep(0.1)
        yield citadel
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def signing_request(key: ec.EllipticCurvePrivateKey) -> str:
    """As an agent makes it, but for the names, which count for nothing."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


class Client:
    """One workload: a key, a request made beforehand, and one kept connection."""

    def __init__(self, citadel: Citadel, account: str, token: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.request = ca_pb2.IstioCertificateRequest(csr=signing_request(self.key))
        self._citadel = citadel
        self._account = account
        self._headers: Any = (("authorization", f"Bearer {token}"),)
        self._channel = self._open(grpc_root_credentials(citadel.root))
        self._stub = ca_pb2_grpc.IstioCertificateServiceStub(self._channel)

    def _open(self, credentials: Any) -> Any:
        options = (("grpc.use_local_subchannel_pool", 1),)
        return grpc.aio.secure_channel(self._citadel.target, credentials, options=options)

    async def ask(self) -> Any:
        """One certificate."""
        return await self._stub.CreateCertificate(self.request, metadata=self._headers, timeout=30)

    async def use_certificate(self) -> None:
        """From now on by client certificate, as an agent renews."""
        chain = (await self.ask()).cert_chain
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        identity = ServiceIdentity(PrivateKeyPem(pem), "".join(chain[:-1]).encode(), chain[-1].encode())
        await self._channel.close()
        self._channel = self._open(grpc_channel_credentials(identity))
        self._stub = ca_pb2_grpc.IstioCertificateServiceStub(self._channel)
        self._headers = ()

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()


async def rate(citadel: Citadel, clients: list[Client], seconds: float) -> dict[str, float]:
    """All clients ask one after the other, all at once with each other."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def work(client: Client) -> None:
        while (begun := time.perf_counter()) < end:
            await client.ask()
            times.append(time.perf_counter() - begun)

    cpu, begun = citadel.cpu_seconds(), time.perf_counter()
    await asyncio.gather(*map(work, clients))
    spent, computed = time.perf_counter() - begun, citadel.cpu_seconds() - cpu
    return {
        "per_second": len(times) / spent,
        "cpu_milliseconds": 1000 * computed / len(times),
        "per_core": len(times) / computed,
        "p50_milliseconds": 1000 * statistics.median(times),
        "p99_milliseconds": 1000 * statistics.quantiles(times, n=100)[98],
    }


async def flooded(citadel: Citadel, good: Client, seconds: float) -> dict[str, float]:
    """One client asks in peace beside clients whose requests are refused, as fast as they can."""
    end = time.perf_counter() + seconds
    refused = 0

    async def flood(kind: int) -> None:
        nonlocal refused
        headers = [(), (("authorization", "Bearer nonsense"),), (("authorization", f"Bearer {FORGED}"),)][kind % 3]
        channel = grpc.aio.secure_channel(
            citadel.target, grpc_root_credentials(citadel.root), options=(("grpc.use_local_subchannel_pool", 1),)
        )
        async with channel:
            stub = ca_pb2_grpc.IstioCertificateServiceStub(channel)
            while time.perf_counter() < end:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await stub.CreateCertificate(good.request, metadata=headers, timeout=30)
                refused += 1

    times: list[float] = []

    async def ask() -> None:
        while (begun := time.perf_counter()) < end:
            await good.ask()
            times.append(time.perf_counter() - begun)
            await asyncio.sleep(0.01)

    await asyncio.gather(ask(), *(flood(number) for number in range(FLOODERS)))
    return {
        "refused_per_second": refused / seconds,
        "p50_milliseconds": 1000 * statistics.median(times),
        "p99_milliseconds": 1000 * statistics.quantiles(times, n=100)[98],
    }


def _forged() -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":"bench"}').decode().rstrip("=")
    return f"{head}.e30.{'A' * 86}"


FORGED = _forged()
"""A token that names the right key and is not signed by it."""


async def measure(seconds: float) -> dict[str, float]:
    """Every figure."""
    figures: dict[str, float] = {}
    with claim() as block, tempfile.TemporaryDirectory(prefix="bench-ca-") as directory:
        issuer = Issuer(block.address(1))
        async with citadel_running(Path(directory), block.address(2), issuer) as citadel:
            clients = [Client(citadel, f"w{number}", issuer.token(f"w{number}")) for number in range(CLIENTS)]
            await _warm(clients)
            figures |= _named("tokens", await rate(citadel, clients, seconds))
            for client in clients:
                await client.use_certificate()
            await rate(citadel, clients, 1)
            figures |= _named("renewals", await rate(citadel, clients, seconds))
            figures |= _named("single", await rate(citadel, clients[:1], seconds))
            figures |= _named("flooded", await flooded(citadel, clients[0], seconds))
            figures["resident_mebibytes"] = citadel.resident_mebibytes()
            for client in clients:
                await client.close()
    return figures


async def _warm(clients: list[Client]) -> None:
    """Until the keys of the issuer are there."""
    async with asyncio.timeout(30):
        while True:
            try:
                await clients[0].ask()
                return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.2)


def _named(prefix: str, figures: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in figures.items()}


def missed(figures: dict[str, float]) -> Iterator[str]:
    """Targets that were not reached."""
    for name, (sign, target) in TARGETS.items():
        reached = figures[name] >= target if sign == ">=" else figures[name] < target
        if not reached:
            yield f"{name}: {figures[name]:.1f}, not {sign} {target:g}"


def main() -> int:
    """Print a table, write a file; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="for each measurement")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.seconds))
    load = os.getloadavg()[0]
    for name, value in figures.items():
        print(f"{name:32} {value:10.2f}")
    print(f"{'load average':32} {load:10.2f}")
    RESULTS.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    about = {"python": platform.python_version(), "processors": os.cpu_count(), "load_average": load}
    (RESULTS / f"ca-{stamp}.json").write_text(json.dumps({"about": about, "figures": figures}, indent=2) + "\n")
    failures = list(missed(figures))
    for failure in failures:
        print(f"missed: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
