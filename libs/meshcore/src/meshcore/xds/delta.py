"""The incremental front end: DeltaDiscoveryRequest in, DeltaDiscoveryResponse out. Pure."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2

from meshcore.xds import wire
from meshcore.xds.frames import Transition, plan_transition
from meshcore.xds.request import Rejection, Request, Wish
from meshcore.xds.resource import Resources
from meshcore.xds.subscription import Subscription
from meshcore.xds.types import EXTENSION_CONFIG_TYPE, NAME_TABLE_TYPE, SECRET_TYPE

NAME = "delta"
NODE_TAG = 0x0A
_NEVER_REMOVED = frozenset({SECRET_TYPE, EXTENSION_CONFIG_TYPE})
"""Types for which an unknown name is left unanswered: a listener would open with a hole in place of a secret."""


_LONGEST_ACK = 256
_NO_NODE = discovery_pb2.DeltaDiscoveryRequest().node


def parse(data: bytes) -> tuple[Request, Any]:
    """Read a request; with it the `Node` message, which is empty except in a stream's first request."""
    if len(data) <= _LONGEST_ACK and (ack := _ack(data)) is not None:
        return ack, _NO_NODE
    message = decode(data)
    return request_of(message), message.node


def decode(data: bytes) -> Any:
    """The message of a request."""
    return discovery_pb2.DeltaDiscoveryRequest.FromString(data)


def request_of(message: Any) -> Request:
    """What it asks."""
    return Request(
        type_url=message.type_url,
        nonce=message.response_nonce,
        rejection=Rejection.of(message),
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial_versions=dict(message.initial_resource_versions),
    )


@lru_cache(maxsize=1024)
def _ack(data: bytes) -> Request | None:
    """The request, if it only acknowledges. Remembered: all who were sent the same bytes answer in the same bytes."""
    message = decode(data)
    words = {"type_url": message.type_url, "response_nonce": message.response_nonce}
    if not message.response_nonce or message != discovery_pb2.DeltaDiscoveryRequest(**words):
        return None
    return Request(type_url=message.type_url, nonce=message.response_nonce)


def first_wish(request: Request) -> Wish:
    """The first request of a type on a stream.

    A reconnecting client lists what it holds: unchanged resources are not sent again, and with nothing to say nothing
    is sent. The name table is always answered: that is how an agent learns that Pilot serves it.
    """
    held = request.initial_versions
    subscription = Subscription.first(request.type_url, request.subscribe)
    answer = request.type_url == NAME_TABLE_TYPE or (subscription.wildcard and not held)
    return Wish(subscription, held=held, answer=answer)


def next_wish(
    request: Request, subscription: Subscription, held: Resources, *, stale: bool, answered: bool
) -> Wish | None:
    """A later request: None when it names nothing. Names count even beside a stale nonce: a delta client never repeats
    them.

    A name that is subscribed to again is sent again, and so is one that a wildcard still covers when its own
    subscription ends (xDS protocol, "Subscribing to Resources").
    """
    if not request.subscribe and not request.unsubscribe:
        return None
    changed = subscription.changed(request.subscribe, request.unsubscribe)
    force = {name for name in request.subscribe if name in held}
    if changed.wildcard and not subscription.wildcard:
        # It may have ended one and let go of all that it had, while a message was on its way and nothing was planned.
        force |= held.keys()
    elif changed.wildcard:
        force |= {name for name in request.unsubscribe if name in subscription.names}
    return Wish(changed, force=frozenset(force), answer=changed.wildcard and not subscription.wildcard)


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
    if type_url in _NEVER_REMOVED:
        planned.removed = ()
    return planned


def assemble(move: Transition, nonce: str) -> bytes:
    """DeltaDiscoveryResponse from cached bytes."""
    return b"".join(
        (
            wire.text(1, content_version(move)),
            *(part for resource in move.sends for part in (resource.head_in_delta, resource.body)),
            wire.text(4, move.type_url),
            wire.text(5, nonce),
            *(wire.chunk(6, name.encode()) for name in move.removed),
        )
    )


def lone_answer(type_url: str, resources: Sequence[tuple[str, str, bytes]], nonce: str, control_plane: str) -> bytes:
    """An answer that no session keeps account of; each resource is (name, type URL, body)."""
    return b"".join(
        (
            *(
                wire.chunk(2, wire.text(3, name) + wire.chunk(2, wire.packed(kind, body)))
                for name, kind, body in resources
            ),
            wire.text(4, type_url),
            wire.text(5, nonce),
            wire.chunk(7, wire.text(1, control_plane)),
        )
    )


def content_version(move: Transition) -> str:
    """A hash of what a message brings and takes away."""
    digest = hashlib.blake2b(digest_size=8)
    for resource in move.sends:
        digest.update(f"{resource.name}\0{resource.version}\0".encode())
    for name in move.removed:
        digest.update(f"-{name}\0".encode())
    return digest.hexdigest()
