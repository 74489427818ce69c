"""Asks processes whether they are ready."""

import asyncio
import contextlib
from urllib.parse import urlsplit

from meshctl.core.plan import ProcessSpec

ASK_TIMEOUT = 2.0


async def is_ready(spec: ProcessSpec) -> bool:
    """True when the process answers 200 on its ready URL, or accepts on every address when it has none."""
    if spec.ready_url is None:
        return all([await _accepts(host, port) for host, port in spec.listens])
    return await _answers_ok(spec.ready_url)


async def _accepts(host: str, port: int) -> bool:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ASK_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return True
    return False


async def quit_now(host: str, port: int) -> None:
    """Asks an agent to end without draining; one that does not answer is left to its SIGTERM."""
    await _answers_ok(f"http://{host}:{port}/quitquitquit", "POST")


async def _answers_ok(url: str, method: str = "GET") -> bool:
    parts = urlsplit(url)
    writer = None
    try:
        async with asyncio.timeout(ASK_TIMEOUT):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            lines = [
                f"{method} {parts.path} HTTP/1.1",
                f"host: {parts.netloc}",
                "content-length: 0",
                "connection: close",
            ]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            status_line = await reader.readline()
            return status_line.split(b" ")[1:2] == [b"200"]
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()
