"""The state-of-the-world front end: DiscoveryRequest in, DiscoveryResponse out. Pure.

Clusters and listeners are always sent as the whole list, because what is missing from it is deleted; of the other types
only what changed is sent.
"""

from collections.abc import Sequence
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2

from meshcore.xds import wire
from meshcore.xds.delta import content_version
from meshcore.xds.frames import Transition, plan_transition
from meshcore.xds.request import Rejection, Request, Wish
from meshcore.xds.resource import Resources, empty_resource
from meshcore.xds.subscription import Subscription
from meshcore.xds.types import ROUTE_TYPE, WILDCARD_TYPES

NAME = "sotw"
NODE_TAG = 0x12


def parse(data: bytes) -> tuple[Request, Any]:
    """Read a request; with it the `Node` message, which is empty except in a stream's first request."""
    message = decode(data)
    return request_of(message), message.node


def decode(data: bytes) -> Any:
    """The message of a request."""
    return discovery_pb2.DiscoveryRequest.FromString(data)


def request_of(message: Any) -> Request:
    """What it asks."""
    return Request(
        type_url=message.type_url,
        nonce=message.response_nonce,
        rejection=Rejection.of(message),
        subscribe=tuple(message.resource_names),
    )


def first_wish(request: Request) -> Wish:
    """The first request of a type on a stream is always answered."""
    subscription = Subscription.first(request.type_url, request.subscribe)
    return Wish(subscription, answer=subscription.wildcard or bool(subscription.names))


def next_wish(
    request: Request, subscription: Subscription, held: Resources, *, stale: bool, answered: bool
) -> Wish | None:
    """A later request: None when its nonce is stale, since the client repeats its list with the next answer.

    Without a nonce a client that has answered before starts over; one that has not only changes its mind.
    """
    if stale:
        return None
    if not request.nonce and answered:
        wish = first_wish(request)
        return Wish(wish.subscription, answer=wish.answer, restart=True)
    changed = subscription.replaced(request.subscribe)
    added = bool(changed.names - subscription.names) or (changed.wildcard and not subscription.wildcard)
    whole = added and request.type_url in WILDCARD_TYPES
    return Wish(changed, answer=whole, restart=whole)


def plan(
    type_url: str,
    held: Resources,
    target: Resources,
    subscription: Subscription,
    force: frozenset[str],
    keep: frozenset[str],
) -> Transition:
    """The move of one type."""
    planned = plan_transition(type_url, held, target, subscription, force, keep)
    if type_url in WILDCARD_TYPES:
        if planned.empty:
            return planned
        planned.sends = tuple(resource for resource in planned.after.values() if resource.exists)
        planned.names = frozenset(resource.name for resource in planned.sends)
        return planned
    # There is no word for "does not exist": a named resource without content says it, where the type has such a thing.
    # Routes that the client has stay as they are: the listener that used them is in use until the next one has its own,
    # and its connections go on with them after that.
    stand_ins = (
        empty_resource(type_url, name)
        for name in planned.removed
        if name in subscription.names and not (type_url == ROUTE_TYPE and (old := held.get(name)) and old.exists)
    )
    planned.sends += tuple(resource for resource in stand_ins if resource is not None)
    planned.removed = ()
    return planned


def lone_answer(type_url: str, resources: Sequence[tuple[str, str, bytes]], nonce: str, control_plane: str) -> bytes:
    """An answer that no session keeps account of; each resource is (name, type URL, body)."""
    return b"".join(
        (
            *(wire.chunk(2, wire.packed(kind, body)) for _, kind, body in resources),
            wire.text(4, type_url),
            wire.text(5, nonce),
            wire.chunk(6, wire.text(1, control_plane)),
        )
    )


def assemble(move: Transition, nonce: str) -> bytes:
    """DiscoveryResponse from cached bytes."""
    return b"".join(
        (
            wire.text(1, content_version(move)),
            *(part for resource in move.sends for part in (resource.head_in_sotw, resource.body)),
            wire.text(4, move.type_url),
            wire.text(5, nonce),
        )
    )
