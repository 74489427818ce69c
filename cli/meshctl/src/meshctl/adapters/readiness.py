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


async def _answers_ok(url: str) -> bool:
    parts = urlsplit(url)
    writer = None
    try:
        async with asyncio.timeout(ASK_TIMEOUT):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            request = f"GET {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nconnection: close\r\n\r\n"
            writer.write(request.encode())
            status_line = await reader.readline()
            return status_line.split(b" ")[1:2] == [b"200"]
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()
