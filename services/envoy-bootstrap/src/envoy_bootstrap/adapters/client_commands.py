"""The commands with which others speak to a running agent: `wait` in a container's life cycle, `request` by hand."""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import h11
from meshcore.errors import MeshError

from envoy_bootstrap.adapters.admin import EnvoyAdmin
from envoy_bootstrap.adapters.bootstrap_source import ADMIN_SOCKET
from envoy_bootstrap.adapters.http_get import Answer, exchange, http_get
from envoy_bootstrap.core.proxy_config import ProxyConfig

_MAX_BODY = 1 << 28
_MAX_READINESS = 1 << 16
_READINESS_PORT = 15021


def run_client(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """The exit status of `wait` or `request`."""
    if options.command == "wait":
        millis = {"request_timeout": options.request_timeout / 1000, "period": options.period / 1000}
        return asyncio.run(wait(options.url or _readiness(environment), timeout=options.timeout, **millis))
    admin = Path(environment.get("STATE_DIR") or ProxyConfig().config_path) / ADMIN_SOCKET
    return asyncio.run(request(options.method, options.path, port=options.debug_port, admin=admin))


def _readiness(environment: Mapping[str, str]) -> str:
    """Where a workload that captures nothing listens at its own address (`AgentConfig.listen_host`)."""
    host = "localhost"
    if environment.get("ISTIO_META_INTERCEPTION_MODE") == "NONE":
        host = (environment.get("INSTANCE_IPS") or environment.get("INSTANCE_IP") or host).split(",")[0].strip()
    return f"http://{f'[{host}]' if ':' in host else host}:{_READINESS_PORT}/healthz/ready"


async def wait(url: str, *, timeout: float, request_timeout: float, period: float) -> int:
    """0 as soon as the proxy is ready, 1 when it is not in time (seconds), with the last reason on standard error."""
    parts = urlsplit(url)
    reason = "it does not answer"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while True:
                with contextlib.suppress(OSError, TimeoutError, h11.ProtocolError):
                    async with asyncio.timeout(request_timeout):
                        host, port = parts.hostname or "localhost", parts.port or 80
                        got = await http_get(host, port, parts.path or "/", limit=_MAX_READINESS)
                    if got.status == 200:
                        return 0
                    reason = f"it answers {got.status} {got.body.decode('utf-8', 'replace').strip()}"
                await asyncio.sleep(period)
    sys.stderr.write(f"the proxy is not ready after {timeout:g} s: {reason}\n")
    return 1


async def request(method: str, path: str, *, port: int | None, admin: Path) -> int:
    """Ask Envoy's admin interface, or what listens on `port` of this machine; 1 without a good answer."""
    target = path if path.startswith("/") else f"/{path}"
    try:
        if port is None:
            sys.stdout.write(await EnvoyAdmin(str(admin), timeout=30).ask(method, target))
            return 0
        got = await _ask(method, target, port)
    except (OSError, TimeoutError, h11.ProtocolError) as error:
        sys.stderr.write(f"no answer to {method} {target}: {error or type(error).__name__}\n")
        return 1
    except MeshError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    sys.stdout.write(got.body.decode("utf-8", "replace"))
    if got.status != 200:
        sys.stderr.write(f"{method} {target} is answered with {got.status}\n")
    return 0 if got.status == 200 else 1


async def _ask(method: str, target: str, port: int) -> Answer:
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("localhost", port)
        try:
            return await exchange(reader, writer, method, target, f"localhost:{port}", _MAX_BODY)
        finally:
            writer.close()
