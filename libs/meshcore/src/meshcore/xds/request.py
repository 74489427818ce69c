"""A request of either protocol variant, and what it wishes for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from meshcore.xds.subscription import Subscription

LONGEST_REASON = 8 * 1024
"""Characters of a refusal. Envoy cuts its own after 4,096."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a client refused a message; `code` is a google.rpc.Code."""

    code: int
    message: str

    @classmethod
    def of(cls, request: Any) -> Self | None:
        """From a request's `error_detail`, if it has one; a text without end is cut, since it is shown and kept."""
        error = request.error_detail
        return cls(error.code, error.message[:LONGEST_REASON]) if request.HasField("error_detail") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request on a stream. `subscribe` is the whole list in state of the world, the additions in delta."""

    type_url: str
    nonce: str = ""
    rejection: Rejection | None = None
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request means for its type."""

    subscription: Subscription
    force: frozenset[str] = frozenset()
    """Names to send even if the client has them."""
    answer: bool = False
    """Whether the request must be answered, with an empty message if need be."""
    held: Mapping[str, str] = field(default_factory=dict)
    """First request only: what the client says it holds, the version of each name."""
    restart: bool = False
    """Forget what was sent before and send everything again."""
