"""Orders to a running supervisor over its Unix socket: one JSON line each way per connection."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from meshcore.errors import ErrorCode, MeshError

from meshctl.core.failure import StackFailure

Order = dict[str, Any]
Handler = Callable[[Order], Awaitable[dict[str, Any]]]
MAX_LINE = 4 << 20


async def serve_control(path: str, handler: Handler) -> asyncio.Server:
    """Listens at `path` (mode 0600); each order's answer, or its failure, goes back on the same connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line:
                writer.write(json.dumps(await _outcome(handler, json.loads(line))).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as error:
            writer.write(json.dumps({"error": str(error)}).encode() + b"\n")
        finally:
            writer.close()

    Path(path).unlink(missing_ok=True)
    server = await asyncio.start_unix_server(answer, path, limit=MAX_LINE)
    Path(path).chmod(0o600)
    return server


async def _outcome(handler: Handler, order: Order) -> dict[str, Any]:
    try:
        return {"result": await handler(order)}
    except StackFailure as failure:
        return _failure(failure)
    except ExceptionGroup as group:
        failures, others = group.split(StackFailure)
        if failures is None or others is not None:
            raise
        return _failure(first_failure(failures))
    except MeshError as error:
        return {"error": str(error)}


def first_failure(group: ExceptionGroup[Any]) -> StackFailure:
    """The first of several failures that came together."""
    first = group.exceptions[0]
    if isinstance(first, ExceptionGroup):
        return first_failure(first)
    if not isinstance(first, StackFailure):
        raise group
    return first


def _failure(failure: StackFailure) -> dict[str, Any]:
    return {"failure": {"process": failure.process, "reason": failure.reason, "lines": list(failure.lines)}}


def send_order(path: str, order: Order, timeout: float) -> dict[str, Any]:
    """The supervisor's answer. FileNotFoundError or ConnectionError when no supervisor listens at `path`.

    Raises StackFailure or MeshError as the supervisor did; MeshError(DEADLINE_EXCEEDED) after `timeout` seconds.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        try:
            connection.sendall(json.dumps(order).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
        except TimeoutError:
            detail = f"the supervisor did not answer within {timeout:.0f} s"
            raise MeshError(ErrorCode.DEADLINE_EXCEEDED, detail) from None
    if not line:
        raise ConnectionResetError("the supervisor went away")
    answer = json.loads(line)
    if "failure" in answer:
        failure = answer["failure"]
        raise StackFailure(failure["process"], failure["reason"], tuple(failure["lines"]))
    if "error" in answer:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, answer["error"])
    return dict(answer["result"])
