import asyncio
from pathlib import Path
from typing import Any

import pytest
from meshcore.errors import ErrorCode, MeshError
from meshctl.adapters.control import Order, send_order, serve_control
from meshctl.core.failure import StackFailure


async def handle(order: Order) -> dict[str, Any]:
    match order["op"]:
        case "fail":
            raise StackFailure("galley", "ended with code 3", ("a", "b"))
        case "fail together":
            raise ExceptionGroup("waits", [StackFailure("pilot", "late"), StackFailure("nats", "late")])
        case "refuse":
            raise MeshError(ErrorCode.INVALID, "no such order")
    return {"echo": order}


@pytest.fixture
async def path(tmp_path: Path):
    server = await serve_control(str(tmp_path / "c.sock"), handle)
    yield str(tmp_path / "c.sock")
    server.close()


async def send(path: str, op: str) -> dict[str, Any]:
    return await asyncio.to_thread(send_order, path, {"op": op}, 60)


async def test_an_order_is_answered_on_a_private_socket(path: str) -> None:
    assert await send(path, "say") == {"echo": {"op": "say"}}
    assert Path(path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("op", "process"), [("fail", "galley"), ("fail together", "pilot")])
async def test_a_failure_comes_out_as_it_went_in(path: str, op: str, process: str) -> None:
    with pytest.raises(StackFailure) as caught:
        await send(path, op)
    assert caught.value.process == process


async def test_a_refusal_says_why(path: str) -> None:
    with pytest.raises(MeshError, match="no such order"):
        await send(path, "refuse")


async def test_without_a_supervisor_the_caller_is_told_by_the_kernel(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await send(str(tmp_path / "none.sock"), "say")
