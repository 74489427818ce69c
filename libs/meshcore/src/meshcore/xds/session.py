"""The server's side of one ADS stream, as a pure object: requests and targets in, effects out.

Knows nothing of gRPC, of clocks (time comes in, in seconds) or of what the resources mean beyond their types.

Invariants, each proved in tests/xds/test_session_machine.py:
1. Nonces are unique on a stream.
2. A stale nonce acknowledges nothing and changes no state (the names beside it do count in delta).
3. A NACK never causes the refused version to be sent again.
4. Only what was sent can be acknowledged.
5. Within one change the order is clusters, endpoints, listeners, routes, then the rest (xDS protocol, "Eventual
   consistency considerations").
6. A cluster that is sent is followed by its endpoints if the client watches them, changed or not, also on the next
   stream if this one breaks: Envoy warms a replaced cluster until they come (without `initial_fetch_timeout` for ever)
   and takes no other clusters meanwhile.
7. At most one message of a type waits for its answer; what changes meanwhile is merged into the next.
8. Clusters and endpoints that the config has lost go after the listeners and routes of that change were acknowledged,
   those too that a new listener asks for, or after `removal_delay`; on a reconnect at once.
9. Listeners and routes wait for the clusters and endpoints of their change to be written, and while new clusters are
   unacknowledged, `warming_delay` at most: Envoy acknowledges when they have warmed.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from meshcore.xds.bounds import burden, refuse_request, refuse_wish
from meshcore.xds.channel import Channel, Flight
from meshcore.xds.effects import Acked, Effect, Expired, Nacked, Send
from meshcore.xds.frames import Frames, Transition, is_move
from meshcore.xds.openings import Reader
from meshcore.xds.removals import Removals
from meshcore.xds.request import Request, Wish
from meshcore.xds.resource import EMPTY, NOTHING, Resources, ResourceSet
from meshcore.xds.subscription import Subscription
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, PUSH_ORDER, ROUTE_TYPE

REMOVAL_DELAY = 5.0
"""Seconds that clusters which are to go stay at most for routes and listeners that have not been acknowledged."""
WARMING_DELAY = 2.0
"""Seconds that listeners and routes wait at most for new clusters to be acknowledged."""
_CAUSES = (CLUSTER_TYPE, ENDPOINT_TYPE)
_USERS = (LISTENER_TYPE, ROUTE_TYPE)
"""What goes out first, and what refers to it: it waits while any of those is on its way with more to follow."""
_RANKS = {type_url: rank for rank, type_url in enumerate(PUSH_ORDER)}
_NO_NAMES: frozenset[str] = frozenset()


class Front(Reader, Protocol):
    """A protocol variant: `meshcore.xds.delta` or `meshcore.xds.sotw`."""

    def next_wish(
        self, request: Request, subscription: Subscription, held: Resources, *, stale: bool, answered: bool
    ) -> Wish | None:
        """What a later request asks for; None when it is to be ignored."""

    def plan(
        self,
        type_url: str,
        held: Resources,
        target: Resources,
        subscription: Subscription,
        force: frozenset[str],
        keep: frozenset[str],
    ) -> Transition:
        """How to get from what the client holds to the target (`meshcore.xds.frames.plan_transition`)."""

    def assemble(self, move: Transition, nonce: str) -> bytes:
        """The serialised response."""

    def lone_answer(
        self, type_url: str, resources: Sequence[tuple[str, str, bytes]], nonce: str, control_plane: str
    ) -> bytes:
        """A serialised response that no session keeps account of; each resource is (name, type URL, body)."""


class AdsSession:
    """One stream. Call the methods in the order of events and carry out the effects in their order.

    Most changes are of one type, and most streams are done with what came before: so only channels on which something
    is on its way or left to be sent are looked at (`_open`). The others are as far as the newest change and revision.
    """

    def __init__(
        self,
        front: Front,
        frames: Frames,
        *,
        removal_delay: float = REMOVAL_DELAY,
        warming_delay: float = WARMING_DELAY,
    ) -> None:
        self._front = front
        self._frames = frames
        self._openings = frames.openings
        self._warming_delay = warming_delay
        self._channels: dict[str, Channel] = {}
        self._open: dict[str, Channel] = {}
        self._removals = Removals(removal_delay)
        self._target: ResourceSet = EMPTY
        self._has_target = False
        self._revision = 0
        self._change = 0
        self.burden = 0
        """Bytes, about, that are kept for this client of what does not exist."""
        self._warming_until: float | None = None

    @property
    def channels(self) -> dict[str, Channel]:
        """State per type URL, for debug pages; not to be changed."""
        return self._channels

    @property
    def target(self) -> ResourceSet:
        """What the client is to have."""
        return self._target

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way and nothing waits to be sent or taken away."""
        if not self._has_target or not self._channels or (self._removals.pending and self._removals.kept):
            return False
        for channel in self._open.values():
            if channel.flight is not None or channel.settled_change != self._change:
                return False
        return True

    @property
    def settled_revision(self) -> int:
        """The newest revision of which every message has been answered and every removal made."""
        if not self._has_target or not self._channels:
            return 0
        settled = self._revision
        for channel in self._open.values():
            settled = min(settled, channel.settled_revision)
        waiting = self._removals.settled_revision if self._removals.pending else None
        return settled if waiting is None else min(settled, waiting)

    @property
    def deadline(self) -> float | None:
        """When `elapsed` wants to be called; None when nothing waits for time."""
        if not self._removals.pending:
            return self._warming_until
        times = (self._removals.deadline, self._warming_until)
        return min((time for time in times if time is not None), default=None)

    def resources_changed(self, resources: ResourceSet, revision: int, now: float) -> tuple[Effect, ...]:
        """The client is to have `resources`, which config revision `revision` led to."""
        before, after = self._target.resources, resources.resources
        for type_url, channel in self._channels.items():
            if after.get(type_url, NOTHING) is not before.get(type_url, NOTHING):
                self._reopen(channel)
        self._target = resources
        self._has_target = True
        revision_before, self._revision = self._revision, max(self._revision, revision)
        self._change += 1
        clusters = after.get(CLUSTER_TYPE, NOTHING)
        if self._removals.pending:
            self._removals.returned(name for name in self._removals.going if name in clusters)
        if clusters is not before.get(CLUSTER_TYPE, NOTHING):
            self._note_lost_clusters(clusters, revision_before, now)
        return self._flush([], now)

    def revisions_restarted(self) -> None:
        """Revisions count in another store from now on: nothing that the client has taken says anything about them."""
        self._revision = 0
        for channel in self._channels.values():
            channel.forget_revisions()

    def request_received(self, request: Request, now: float) -> tuple[Effect, ...]:
        """The client has asked, acknowledged or refused."""
        if (refused := refuse_request(request, self._channels)) is not None:
            return (refused,)
        channel = self._channels.get(request.type_url)
        effects: list[Effect] = []
        if channel is None:
            channel = self._channels[request.type_url] = Channel(request.type_url)
            self._open[request.type_url] = channel
            wish: Wish | None = self._openings.first_wish(self._front, request)
        else:
            stale = bool(request.nonce) and not self._answered(channel, request, effects, now)
            answered = channel.answered or channel.flight is None
            wish = self._front.next_wish(request, channel.subscription, channel.held, stale=stale, answered=answered)
        if wish is None and channel.burden:
            wish = Wish(channel.subscription)  # what it had asked for may exist by now
        if wish is not None:
            target = self._target.of_type(request.type_url)
            if (refused := refuse_wish(wish, request.type_url, self._channels, target)) is not None:
                return (*effects, refused)
            other = channel.burden or wish.held or wish.subscription is not channel.subscription
            self._apply(channel, wish)
            if other:
                self.burden -= channel.burden
                channel.burden = burden(wish, channel.held, target)
                self.burden += channel.burden
        return self._flush(effects, now)

    def elapsed(self, now: float) -> tuple[Effect, ...]:
        """Time has reached `deadline`."""
        return self._flush([], now)

    def _answered(self, channel: Channel, request: Request, effects: list[Effect], now: float) -> bool:
        """Take note of an ACK or NACK. False when the nonce is stale."""
        flight = channel.flight
        if flight is None or flight.nonce != request.nonce:
            if flight is None and request.nonce == channel.last_nonce:
                return True
            effects.append(Expired(type_url=channel.type_url, nonce=request.nonce))
            return False
        seconds = now - flight.sent_at
        if request.rejection is None:
            channel.acknowledge()
            effects.append(Acked(channel.type_url, flight.nonce, flight.revision, seconds))
        else:
            channel.refuse(request.rejection)
            effects.append(
                Nacked(
                    type_url=channel.type_url,
                    nonce=flight.nonce,
                    revision=flight.revision,
                    code=request.rejection.code,
                    message=request.rejection.message,
                    names=flight.names,
                )
            )
        if channel.type_url == CLUSTER_TYPE:
            self._warming_until = None
            if self._removals.pending:
                self._removals.answered()
        return True

    def _reopen(self, channel: Channel) -> None:
        """Something may be to be sent on it: up to here it was as far as everything."""
        if channel.type_url not in self._open:
            channel.reopen(self._change, self._revision)
            self._open[channel.type_url] = channel

    def _apply(self, channel: Channel, wish: Wish) -> None:
        self._reopen(channel)
        if wish.restart:
            channel.restart()
            if channel.type_url == CLUSTER_TYPE:
                self._removals.answered()
        subscription = self._openings.shared_subscription(wish.subscription)
        if subscription is not channel.subscription:
            channel.subscription = subscription
            channel.settled_on = None
        channel.force |= wish.force
        channel.answer = channel.answer or wish.answer
        if wish.held:
            target = self._target.of_type(channel.type_url)
            channel.held = channel.taken = self._openings.holdings(channel.type_url, wish.held, target)
            if channel.type_url == CLUSTER_TYPE and channel.held is not target:
                self._removals.release_at_once(channel.held.keys() - target.keys(), self._revision)
            if channel.type_url == ENDPOINT_TYPE:
                channel.force |= self._warming(wish.held)

    def _warming(self, held: Mapping[str, str]) -> frozenset[str]:
        """Clusters that may be warming until endpoints come which the client has already: those on their way, as who
        comes back asks for clusters first. Of who does not it may be any: Envoy asks for no clusters while one is
        warming, so its stream broke before the endpoints came."""
        clusters = self._channels.get(CLUSTER_TYPE)
        if clusters is None:
            return frozenset(held)
        return _NO_NAMES if clusters.flight is None else clusters.flight.names.intersection(held)

    def _note_lost_clusters(self, clusters: Resources, revision_before: int, now: float) -> None:
        channel = self._channels.get(CLUSTER_TYPE)
        if channel is not None and channel.held is not clusters:
            lost = (name for name, held in channel.held.items() if held.exists and name not in clusters)
            self._removals.lost(lost, self._change, revision_before, now)

    def _flush(self, effects: list[Effect], now: float) -> tuple[Effect, ...]:
        """`effects`, and then what may be sent now."""
        if self._has_target:
            self._round(effects, now)
            # Carrying out a removal can settle nothing else, so the second round is the last.
            if self._removals.pending and self._removals.release(self._routes_acknowledged(), now):
                self._round(effects, now)
        return tuple(effects)

    def _round(self, effects: list[Effect], now: float) -> None:
        """Send what may be sent now, in push order."""
        flying: list[Channel] = []
        if self._warming_until is not None and self._warming_until <= now:
            self._warming_until = None
        for channel in self._in_order():
            type_url = channel.type_url
            if type_url not in self._open:
                continue
            target = self._target.of_type(type_url)
            if channel.has_whole(target):
                if channel.flight is None:
                    self._settle(channel, channel.held, target)
                continue
            if channel.flight is not None:
                # What would be planned for it now is planned when its message is answered.
                if type_url in _CAUSES:
                    flying.append(channel)
                continue
            keep = self._removals.kept if self._removals.pending and type_url in _CAUSES else _NO_NAMES
            move = self._move(channel, target, keep)
            waits = type_url in _USERS and (self._warming_until is not None or any(map(self._unsent, flying)))
            # What ends without a message, as routes do in state of the world, ends with the listeners that used it.
            if move.empty and not channel.answer and not (waits and move.after is not channel.held):
                self._settle(channel, move.after, target)
            elif waits:
                continue
            else:
                # With a removal held back, the same target will have to be looked at again.
                effects.append(self._send(channel, move, None if keep else target, now))

    def _unsent(self, channel: Channel) -> bool:
        """Whether there will be something to send when the message on its way has been answered."""
        target = self._target.of_type(channel.type_url)
        return channel.answer or is_move(channel.held, target, channel.subscription, channel.force, self._removals.kept)

    def _settle(self, channel: Channel, after: Resources, target: Resources) -> None:
        """Nothing is on its way, and nothing left to be sent for now."""
        looked_at_again = False
        if self._removals.pending and channel.type_url in _CAUSES:
            if channel.type_url == CLUSTER_TYPE:
                # What is released and not sent is not the client's any more.
                self._removals.sent(self._removals.released)
                self._removals.answered()
            looked_at_again = bool(self._removals.going)
        channel.settle(after, self._change, self._revision, None if looked_at_again else target)
        if not looked_at_again:
            del self._open[channel.type_url]

    def _send(self, channel: Channel, move: Transition, brings: Resources | None, now: float) -> Send:
        """`brings` is the target of which nothing is left when this has arrived."""
        frame = self._frames.frame(move, self._front.assemble, channel.last_serial)
        removed = frozenset(move.removed)
        flight = Flight(frame.nonce, self._revision, self._change, now, move.names, removed)
        channel.launch(flight, frame.serial, move.after, brings)
        if channel.type_url == CLUSTER_TYPE:
            if self._removals.pending:
                self._removals.sent(name for name in self._removals.released if name not in move.after)
            self._resend_endpoints(move)
            if move.adds:
                self._warming_until = now + self._warming_delay
        return move.sent_as(frame, self._revision)

    def _resend_endpoints(self, move: Transition) -> None:
        endpoints = self._channels.get(ENDPOINT_TYPE)
        if endpoints is not None:
            known = self._target.of_type(ENDPOINT_TYPE)
            self._reopen(endpoints)
            endpoints.force |= {n for n in move.changed if n in known and endpoints.subscription.wants(n)}

    def _move(self, channel: Channel, target: Resources, keep: frozenset[str]) -> Transition:
        front = self._front
        return self._frames.transition(
            front.NAME, channel.type_url, channel.held, target, channel.subscription, channel.force, keep, front.plan
        )

    def _in_order(self) -> list[Channel]:
        """The channels to look at. To send clusters opens their endpoints."""
        channels = self._channels if CLUSTER_TYPE in self._open else self._open
        if len(channels) < 2:
            return list(channels.values())
        return sorted(channels.values(), key=lambda channel: _RANKS.get(channel.type_url, len(_RANKS)))

    def _routes_acknowledged(self) -> int:
        """The last change whose listeners and routes the client has taken; 0 while any are on their way: routes that a
        new listener has asked for are of the change that it came with, which may have been taken otherwise."""
        users = [self._channels[type_url] for type_url in _USERS if type_url in self._channels]
        if any(channel.flight is not None for channel in users):
            return 0
        return min((self._acknowledged_change(channel) for channel in users), default=self._change)

    def _acknowledged_change(self, channel: Channel) -> int:
        closed = channel.type_url not in self._open
        return self._change if closed and channel.rejection is None else channel.acknowledged_change
