"""One Envoy's stream to its agent: which resources it asked for, what it has, what it is sent next.

The agent serves secrets and the last good configuration from memory. A name that is not there is *held*, never declared
absent: an absent secret opens a listener that resets every handshake, and a certificate that is late comes soon.
Whoever asks for everything is answered even when that is nothing, since it waits for it.

Invariants (tests/core/test_discovery.py):
1. nothing is sent that was not asked for, and nothing twice in one version;
2. a stale nonce changes nothing (state of the world), a NACK is not answered by the same version;
3. a client that brings its own versions is sent only what differs, and nothing is ever removed.

Pure: requests in, responses out. The incremental and the state-of-the-world variant are two classes over one rule.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from meshcore.xds.types import PUSH_ORDER, WILDCARD_TYPES


@dataclass(frozen=True, slots=True)
class Versioned:
    """One resource: its version and its serialised message."""

    version: str
    body: bytes

    def __repr__(self) -> str:
        return f"Versioned({self.version!r}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a client that watches a name has said of it: versions, empty for none."""

    taken: str
    refused: str
    reason: str


Resources = Mapping[str, Mapping[str, Versioned]]
"""By type URL and name."""


class _Subscription:
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.wildcard = False
        self.answered = False
        self.known: dict[str, str] = {}
        self.taken: dict[str, str] = {}
        """Version that the client has acknowledged, by name."""
        self.refused: dict[str, tuple[str, str]] = {}
        """Version that the client has refused last and why, by name."""
        self._flight: dict[str, dict[str, str]] = {}

    def sent(self, nonce: str, versions: dict[str, str]) -> None:
        self._flight[nonce] = versions

    def answered_by(self, request: Any) -> None:
        """Note what an ACK or a NACK says of the message that it answers."""
        versions = self._flight.pop(request.response_nonce, None)
        if versions is None:
            return
        if request.HasField("error_detail"):
            self.refused |= {name: (version, request.error_detail.message) for name, version in versions.items()}
        else:
            self.taken |= versions

    def standing(self, name: str) -> "Standing | None":
        if name not in self.names and not self.wildcard:
            return None
        return Standing(self.taken.get(name, ""), *self.refused.get(name, ("", "")))

    def due(self, resources: Mapping[str, Versioned]) -> dict[str, Versioned]:
        wanted: Iterable[str] = resources if self.wildcard else sorted(self.names & resources.keys())
        return {name: resources[name] for name in wanted if self.known.get(name) != resources[name].version}


class DeltaDiscovery:
    """The incremental variant (xDS protocol, "Incremental xDS")."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._subscriptions: dict[str, _Subscription] = {}
        self._sent = 0

    @staticmethod
    def names_in(request: Any) -> tuple[str, ...]:
        """The names that a request wants."""
        return tuple(request.resource_names_subscribe)

    def request_received(self, request: Any) -> list[Any]:
        """The responses to a DeltaDiscoveryRequest; none for an ACK, a NACK, or names that are held."""
        subscription = self._subscriptions.get(request.type_url)
        if subscription is None:
            subscription = self._subscriptions[request.type_url] = _Subscription()
            subscription.known.update(request.initial_resource_versions)
            subscription.taken.update(request.initial_resource_versions)
            # A client that brings versions asks to be told of differences; names come with it or are all ("*").
            subscription.wildcard = request.type_url in WILDCARD_TYPES and not request.resource_names_subscribe
        subscription.answered_by(request)
        for name in request.resource_names_subscribe:
            if name == "*":
                subscription.wildcard = True
            else:
                subscription.names.add(name)
                # Subscribing again means "send it again" (xDS protocol, "Subscribing to Resources").
                if name not in request.initial_resource_versions:
                    subscription.known.pop(name, None)
        for name in request.resource_names_unsubscribe:
            subscription.names.discard(name)
            subscription.known.pop(name, None)
            if name == "*":
                subscription.wildcard = False
        return self._responses(request.type_url)

    def standing(self, type_url: str, name: str) -> Standing | None:
        """What the client has said of a resource; None when it does not watch it."""
        subscription = self._subscriptions.get(type_url)
        return None if subscription is None else subscription.standing(name)

    def resources_changed(self, resources: Resources) -> list[Any]:
        """What this stream is sent because the agent's resources are new, in make-before-break order."""
        self._resources = resources
        ordered = sorted(self._subscriptions, key=_push_order)
        return [response for type_url in ordered for response in self._responses(type_url)]

    def _responses(self, type_url: str) -> list[Any]:
        subscription = self._subscriptions[type_url]
        due = subscription.due(self._resources.get(type_url, {}))
        if not due and (subscription.answered or not subscription.wildcard):
            return []
        subscription.answered = True
        self._sent += 1
        response = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url, nonce=str(self._sent))
        subscription.sent(response.nonce, {name: resource.version for name, resource in due.items()})
        for name, resource in due.items():
            subscription.known[name] = resource.version
            item = response.resources.add(name=name, version=resource.version)
            item.resource.type_url = type_url
            item.resource.value = resource.body
        return [response]


class SotwDiscovery:
    """The state-of-the-world variant: every answer holds all that was asked for."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._subscriptions: dict[str, _Subscription] = {}
        self._nonces: dict[str, str] = {}
        self._sent = 0

    @staticmethod
    def names_in(request: Any) -> tuple[str, ...]:
        """The names that a request wants."""
        return tuple(request.resource_names)

    def request_received(self, request: Any) -> list[Any]:
        """The responses to a DiscoveryRequest; none for an ACK, a NACK, a stale nonce or names that are held."""
        type_url = request.type_url
        names = set(request.resource_names)
        subscription = self._subscriptions.get(type_url)
        first = subscription is None
        if subscription is None:
            subscription = self._subscriptions[type_url] = _Subscription()
        subscription.answered_by(request)
        if not first and (
            request.response_nonce != self._nonces.get(type_url, "") or names - {"*"} == subscription.names
        ):
            return []
        subscription.wildcard = "*" in names or (type_url in WILDCARD_TYPES and not names)
        for name in names - subscription.names:
            subscription.known.pop(name, None)
        subscription.names = names - {"*"}
        return self._responses(type_url)

    def standing(self, type_url: str, name: str) -> Standing | None:
        """What the client has said of a resource; None when it does not watch it."""
        subscription = self._subscriptions.get(type_url)
        return None if subscription is None else subscription.standing(name)

    def resources_changed(self, resources: Resources) -> list[Any]:
        """What this stream is sent because the agent's resources are new."""
        self._resources = resources
        ordered = sorted(self._subscriptions, key=_push_order)
        return [response for type_url in ordered for response in self._responses(type_url)]

    def _responses(self, type_url: str) -> list[Any]:
        subscription = self._subscriptions[type_url]
        resources = self._resources.get(type_url, {})
        if not subscription.due(resources) and (subscription.answered or not subscription.wildcard):
            return []
        subscription.answered = True
        whole = resources if subscription.wildcard else {n: resources[n] for n in subscription.names if n in resources}
        subscription.known = {name: resource.version for name, resource in whole.items()}
        self._sent += 1
        self._nonces[type_url] = str(self._sent)
        subscription.sent(str(self._sent), dict(subscription.known))
        response = discovery_pb2.DiscoveryResponse(
            type_url=type_url,
            nonce=str(self._sent),
            version_info=".".join(sorted({resource.version for resource in whole.values()})),
        )
        for name in sorted(whole):
            item = response.resources.add()
            item.type_url = type_url
            item.value = whole[name].body
        return [response]


def _push_order(type_url: str) -> tuple[int, str]:
    return (PUSH_ORDER.index(type_url) if type_url in PUSH_ORDER else len(PUSH_ORDER), type_url)
