"""How much one client may ask for: what is beyond it ends its stream, before anything of it is kept. Pure.

The largest meshes have some ten thousand clusters; an Envoy names each of them once.
"""

from collections.abc import Mapping

from meshcore.errors import ErrorCode
from meshcore.xds.channel import Channel
from meshcore.xds.effects import Close
from meshcore.xds.request import Request, Wish

MOST_NAMES = 100_000
"""Names of one type that a stream may want, and that one request may list."""
MOST_TYPES = 32
"""Types of one stream; Envoy and gRPC know fewer than ten."""


def refuse_request(request: Request, channels: Mapping[str, Channel]) -> Close | None:
    """INVALID without a type, RESOURCE_EXHAUSTED for too many names or types; None for what may be looked at."""
    if not request.type_url:
        return Close(code=ErrorCode.INVALID, detail="a discovery request names no type")
    if max(len(request.subscribe), len(request.unsubscribe), len(request.initial_versions)) > MOST_NAMES:
        return _too_much(f"a discovery request may list {MOST_NAMES} names at most")
    if request.type_url not in channels and len(channels) >= MOST_TYPES:
        return _too_much(f"a stream may ask for {MOST_TYPES} types at most")
    return None


def refuse_wish(wish: Wish) -> Close | None:
    """RESOURCE_EXHAUSTED when all that the stream has asked for together is too much."""
    if len(wish.subscription.names) > MOST_NAMES:
        return _too_much(f"a stream may want {MOST_NAMES} names of one type at most")
    return None


def _too_much(detail: str) -> Close:
    return Close(code=ErrorCode.RESOURCE_EXHAUSTED, detail=detail)
