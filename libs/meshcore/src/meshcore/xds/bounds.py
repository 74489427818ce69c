"""How much one client may ask for: what is beyond it ends its stream, before anything of it is kept. Pure.

The largest meshes have some ten thousand clusters; an Envoy names each of them once.
"""

from collections.abc import Mapping

from meshcore.errors import ErrorCode
from meshcore.xds.channel import Channel
from meshcore.xds.effects import Close
from meshcore.xds.request import Request, Wish
from meshcore.xds.resource import Resources
from meshcore.xds.types import SHORT_NAMES

MOST_NAMES = 100_000
"""Names that a stream may want, of all types together, and that one request may list."""
MOST_STRANGE = 10_000
"""Names of one type that a client may ask for or say that it holds beyond twice what there is for it. As many may have
gone at once, with its clusters still to be taken from it."""
_FEW_STRANGE = 1_000
"""The same for types that Pilot does not serve."""
_EACH = 350
"""Bytes of a name that does not exist, besides its text: in what is wanted, and in what is held, as absent."""
MOST_TYPES = 16
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


def refuse_wish(wish: Wish, type_url: str, channels: Mapping[str, Channel], target: Resources) -> Close | None:
    """RESOURCE_EXHAUSTED when all that the stream has asked for together is too much, or too much that is not there.

    Names that it had asked for before are not held against it: what there is may have become less since.
    """
    allowed = 2 * len(target) + (MOST_STRANGE if type_url in SHORT_NAMES else _FEW_STRANGE)
    if len(wish.held) > allowed and len(wish.held.keys() - target.keys()) > allowed:
        return _too_much(f"of one type a client may hold {allowed} resources at most that do not exist")
    wanted, before = wish.subscription.names, channels[type_url].subscription.names
    if wanted is before or len(wanted) < len(before):
        return None
    others = sum(len(channel.subscription.names) for channel in channels.values()) - len(before)
    if len(wanted) + others > MOST_NAMES:
        return _too_much(f"a stream may want {MOST_NAMES} names at most")
    if len(wanted) > allowed and len(strange := wanted - target.keys()) > allowed and not strange <= before:
        return _too_much(f"of one type a stream may want {allowed} names at most that do not exist, not {len(strange)}")
    return None


def burden(wish: Wish, held: Resources, target: Resources) -> int:
    """Bytes, about, that are kept of a type for this client alone: names and versions of what does not exist. `held` is
    what the client holds: most come with the target itself."""
    strange = wish.subscription.names - target.keys()
    kept = _EACH * len(strange) + sum(map(len, strange))
    if wish.held and held is not target and (gone := wish.held.keys() - target.keys()):
        kept += _EACH * len(gone) + sum(map(len, gone)) + sum(len(wish.held[name]) for name in gone)
    return kept


def _too_much(detail: str) -> Close:
    return Close(code=ErrorCode.RESOURCE_EXHAUSTED, detail=detail)
