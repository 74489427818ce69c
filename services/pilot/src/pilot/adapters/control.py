"""Questions between a Pilot's parent process and its workers: one JSON document each way over a Unix socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from meshcore.errors import ErrorCode, MeshError

from pilot.adapters.answers import LocalAnswers


class _Question(msgspec.Struct):
    what: str
    parameters: dict[str, Any]
    seconds: float


class _Reply(msgspec.Struct):
    answer: Any = None
    code: str = ""
    detail: str = ""


@contextlib.asynccontextmanager
async def control_server(path: Path, answers: LocalAnswers) -> AsyncIterator[None]:
    """Answer on `path` while the block lasts; the socket is for this user only, its directory sees to that."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = msgspec.json.decode(await reader.read(), type=_Question)
            try:
                reply = _Reply(await answers.answer(question.what, question.parameters, question.seconds))
            except MeshError as error:
                reply = _Reply(code=error.code.value, detail=error.detail)
            writer.write(msgspec.json.encode(reply))
            await writer.drain()
        except (ConnectionError, msgspec.MsgspecError):
            # The parent has given up or is gone; it asks again if it still wants to know.
            writer.transport.abort()
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(serve, path)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def ask_worker(path: Path, what: str, parameters: Mapping[str, Any], seconds: float) -> Any:
    """One worker's answer; OSError when it is not there, MeshError when it refuses."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(msgspec.json.encode(_Question(what, dict(parameters), seconds)))
        writer.write_eof()
        reply = msgspec.json.decode(await reader.read(), type=_Reply)
    except msgspec.MsgspecError:
        raise ConnectionResetError("the worker ended while it was asked") from None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if reply.code:
        raise MeshError(ErrorCode(reply.code), reply.detail)
    return reply.answer
