"""What the echo of the shared mesh does with a request, as `tests/e2e/traffic/echo.py` says, for the simulator."""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from meshcore.testing.traffic_rows import RowCall

DEAF = 9002
"""The port whose queue is full."""
FOR_EVER = 1e9


@dataclass(frozen=True)
class Reply:
    """`fault` says why there is no answer: `connect` (nobody listens) or `reset` (the connection is cut)."""

    status: int = 200
    seconds: float = 0.0
    fault: str = ""
    grpc_status: int = 0


REFUSED = Reply(0, fault="connect")


def reply_of(call: RowCall, name: str, ports: frozenset[int], port: int, before: int) -> Reply:
    """The answer of the application of workload `name` at a port when it was asked `before` times for this call."""
    if port == DEAF and ports:
        return Reply(0, seconds=FOR_EVER, fault="connect")
    if port and port not in ports:
        return REFUSED
    if call.scheme.startswith("grpc"):
        return Reply(grpc_status=int(call.headers.get("x-grpc-status", "0")))
    query = parse_qs(urlsplit(call.target).query, keep_blank_values=True)
    orders = {key: values[0] for key, values in query.items()}
    if orders.get("only", name) != name or call.scheme == "ws":
        return Reply()
    late = "delay" in orders and int(orders.get("quick", "0")) <= before < int(orders.get("slow", "1000000"))
    seconds = float(orders["delay"]) if late else 0.0
    if "reset" in orders:
        return Reply(0, seconds, fault="reset")
    status = int(orders.get("status", "503" if "fail" in orders else "200"))
    return Reply(200 if before >= int(orders.get("fail", "1000000")) else status, seconds)


def sent_headers(call: RowCall) -> dict[str, str]:
    """Headers that the request asks for."""
    pairs = (item.split(":", 1) for item in parse_qs(urlsplit(call.target).query).get("set", ()))
    return {name.lower(): value for name, value in pairs}
