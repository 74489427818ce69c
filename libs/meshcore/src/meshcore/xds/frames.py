"""From what a client holds to what it is to hold: one message, shared by every stream that makes this move.

Sessions of one class of proxies hold the same mapping objects, so a move is found by identity and costs a dictionary
look-up per stream. Each frame has a serial number for its nonce; a stream that has already seen a frame's serial gets
the same bytes under a newer serial, which the streams after it then share. Pure, except that serials count up.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType

from meshcore.xds.effects import Send
from meshcore.xds.openings import Openings
from meshcore.xds.resource import PackedResource, Resources, absent
from meshcore.xds.subscription import Subscription

_NO_NAMES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Frame:
    """One serialised response. `serial` is unique among all frames of a `Frames`, and grows."""

    serial: int
    nonce: str
    data: bytes = field(repr=False)


@dataclass(slots=True, eq=False)
class Transition:
    """One move of one type: what to send, what to take away, and what the client holds afterwards."""

    type_url: str
    sends: tuple[PackedResource, ...]
    removed: tuple[str, ...]
    after: Resources
    adds: bool
    """Whether a name is sent that the client did not hold."""
    names: frozenset[str]
    """Names of `sends`."""
    changed: frozenset[str]
    """Those of them that the client did not hold in this version, or that were forced."""
    frame: Frame | None = None
    sent: Send | None = field(default=None, repr=False)
    """What was last told of it."""

    @property
    def empty(self) -> bool:
        """Whether the client holds everything already."""
        return not self.sends and not self.removed

    def sent_as(self, frame: Frame, revision: int) -> Send:
        """What is to be written: the same for all streams that make this move for that revision."""
        if self.sent is None or self.sent.frame is not frame.data or self.sent.revision != revision:
            self.sent = Send(
                type_url=self.type_url,
                frame=frame.data,
                nonce=frame.nonce,
                revision=revision,
                names=self.names,
                removed=frozenset(self.removed),
            )
        return self.sent


Assemble = Callable[[Transition, str], bytes]
"""Lay out a transition with a nonce."""


def plan_transition(
    type_url: str,
    held: Resources,
    target: Resources,
    subscription: Subscription,
    force: frozenset[str] = _NO_NAMES,
    keep: frozenset[str] = _NO_NAMES,
) -> Transition:
    """Compare what a client holds with the target.

    `force`: names sent even when unchanged. `keep`: names that stay with the client although the target has lost them
    (a kept one that is forced is sent as it was: the client may be warming a cluster on it).
    A name that is wanted and does not exist is told once and remembered as absent.
    """
    wanted = target if subscription.wildcard else _named(subscription.names, target)
    others = () if held is wanted else (one for one in wanted.values() if held.get(one.name) is not one)
    sends = [one for one in others if (old := held.get(one.name)) is None or old.version != one.version]
    if force:
        changed = {one.name for one in sends}
        sends = [one for name, one in wanted.items() if name in changed or name in force]
    adds = any((old := held.get(resource.name)) is None or not old.exists for resource in sends)
    removed: list[str] = []
    beside: dict[str, PackedResource] = {}
    for name in _missing(held, target, subscription):
        old = held.get(name)
        if old is not None and old.exists and name in keep and (old.body or name not in force):
            beside[name] = old
            if name in force:
                sends.append(old)
            continue
        if old is None or old.exists or name in force:
            removed.append(name)
        if name in subscription.names:
            beside[name] = old if old is not None and not old.exists else absent(type_url, name)
    names = frozenset(resource.name for resource in sends)
    after = _after(held, wanted, beside, changed=bool(sends or removed))
    return Transition(type_url, tuple(sends), tuple(removed), after, adds, names, names)


def is_move(
    held: Resources, target: Resources, subscription: Subscription, force: frozenset[str], keep: frozenset[str]
) -> bool:
    """Whether `plan_transition` would have anything to send or to take away, without planning it."""

    def told(name: str) -> bool:
        old, new = held.get(name), target.get(name)
        if name in force:
            return True
        if new is not None:
            return old is None or old.version != new.version
        return old is None or (old.exists and name not in keep)

    whole = (target, held) if subscription.wildcard and held is not target else (target,) * subscription.wildcard
    return any(told(name) for name in chain(*whole, subscription.names))


def _missing(held: Resources, target: Resources, subscription: Subscription) -> list[str]:
    """What is asked for and is not there; and, for who asks for everything, what was there."""
    missing = sorted(subscription.names - target.keys()) if subscription.names else []
    if subscription.wildcard and held is not target and (gone := held.keys() - target.keys() - subscription.names):
        missing += [name for name in held if name in gone]
    return missing


def _after(held: Resources, wanted: Resources, beside: Mapping[str, PackedResource], *, changed: bool) -> Resources:
    """A mapping that exists already where there is one, so that later moves are found by identity."""
    if not beside and isinstance(wanted, MappingProxyType):
        return wanted
    after = {**wanted, **beside}
    return held if not changed and len(after) == len(held) else MappingProxyType(after)


def _named(names: frozenset[str], target: Resources) -> Resources:
    """The target itself, if it has nothing else."""
    if names >= target.keys():
        return target
    if len(names) * 4 < len(target):
        return {name: target[name] for name in sorted(names) if name in target}
    return {name: resource for name, resource in target.items() if name in names}


@dataclass(slots=True, eq=False)
class _Kept:
    """A move with what its key has the ids of: they stay theirs for as long as it is in use."""

    move: Transition
    held: Resources
    target: Resources
    subscription: Subscription
    cost: int
    turn: int
    """When it was asked for last."""


class Frames:
    """The memory of moves and their frames, bounded by the bytes of the frames in it and of what it alone keeps alive.

    Invariant: the nonce of a frame given for `newer_than` differs from every nonce of the frames before it, because
    serials only grow.
    """

    def __init__(self, budget: int = 96 << 20) -> None:
        self._budget = budget
        self._used = 0
        self._serial = 0
        self._moves: OrderedDict[tuple[object, ...], _Kept] = OrderedDict()
        self._to: dict[int, set[tuple[object, ...]]] = {}
        """By identity of the target: the moves there."""
        self.openings = Openings()
        self._turn = 0
        self.built = 0
        """Frames assembled."""
        self.shared = 0
        """Frames handed out without assembling them."""

    def transition(
        self,
        front: str,
        type_url: str,
        held: Resources,
        target: Resources,
        subscription: Subscription,
        force: frozenset[str] = _NO_NAMES,
        keep: frozenset[str] = _NO_NAMES,
        plan: Callable[..., Transition] = plan_transition,
    ) -> Transition:
        """The one `Transition` object for this move; `plan` makes it when it is new. Subscriptions are told apart by
        identity as well (`shared_subscription`)."""
        key = (front, type_url, id(held), id(target), id(subscription), force, keep)
        if (known := self._moves.get(key)) is not None:
            self._moves.move_to_end(key)
            known.turn = self._turn
            return known.move
        made = plan(type_url, held, target, subscription, force, keep)
        cost = _MOVE_COST + 64 * len(made.sends) + sum(map(len, made.removed)) + _kept_alive(held, made)
        if made.after is not held and made.after is not target:
            cost += _NAME_COST * len(made.after) + sum(map(len, made.after))
        self._moves[key] = _Kept(made, held, target, subscription, cost, self._turn)
        self._to.setdefault(id(target), set()).add(key)
        self._spend(cost)
        return made

    def retire(self, target: Resources) -> None:
        """Few are on their way there, if any, and soon nobody: what leads there is forgotten."""
        for key in tuple(self._to.get(id(target), ())):
            self._drop(key)

    def forget_unused(self) -> None:
        """What nobody has asked for since the last call but one is forgotten: who is to come makes it again."""
        self._turn += 1
        while self._moves and next(iter(self._moves.values())).turn < self._turn - 1:
            self._drop(next(iter(self._moves)))

    def frame(self, transition: Transition, assemble: Assemble, newer_than: int) -> Frame:
        """The frame of a move for a stream whose last serial of this type was `newer_than`."""
        frame = transition.frame
        if frame is not None and frame.serial > newer_than:
            self.shared += 1
            return frame
        self._serial += 1
        self.built += 1
        nonce = f"{self._serial:x}"
        made = Frame(self._serial, nonce, assemble(transition, nonce))
        transition.frame = made
        self._spend(len(made.data) - (0 if frame is None else len(frame.data)))
        return made

    def _spend(self, cost: int) -> None:
        self._used += cost
        while self._used > self._budget and len(self._moves) > 1:
            self._drop(next(iter(self._moves)))

    def _drop(self, key: tuple[object, ...]) -> None:
        kept = self._moves.pop(key)
        self._used -= kept.cost + (0 if kept.move.frame is None else len(kept.move.frame.data))
        there = self._to[id(kept.target)]
        there.remove(key)
        if not there:
            del self._to[id(kept.target)]


def _kept_alive(held: Resources, move: Transition) -> int:
    """Bytes of what a client held that may live in the memory of moves alone: the mapping, and what is replaced in
    it."""
    if not held or held is move.after:
        return 0
    replaced = (held.get(name) for name in (*move.changed, *move.removed))
    return _ENTRY_COST * len(held) + sum(len(one.body) for one in replaced if one is not None)


_ENTRY_COST = 100
"""Bytes of a mapping for each name in it."""
_MOVE_COST = 512
_NAME_COST = 192
"""Bytes for each name of what one client alone holds: of names that nothing has, or of a choice of its own."""
