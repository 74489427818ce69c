"""Replacing the root by one with another key, while every peer always trusts what every other presents. Pure.

    no rotation    the root signs, the bundle is the root
    DISTRIBUTING   the root signs, the bundle is root and successor, until every holder has confirmed that bundle
    SIGNING        the successor signs, the bundle is successor and root, until no leaf of the root is in use any more
    no rotation    the successor is the root

A holder is whoever follows the trust bundle with a client certificate: an agent, a service, an Envoy. What it
acknowledges on its stream is its confirmation. Leaves of those that follow nothing count until they have expired.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from citadel.core.authority import Authority, key_id_of

SEEN_LATELY = timedelta(seconds=90)
"""How long ago a holder whose stream is open may have been noted last; replicas note theirs every 30 s."""
RELEASED = "released"
"""In place of a successor's serial: the holder has left in good order and will not present the leaf again."""


class Phase(StrEnum):
    """What a rotation waits for."""

    DISTRIBUTING = "distributing"
    SIGNING = "signing"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who follows the bundle, and what it is known to have; `bundle` is the digest that it acknowledged last."""

    identity: str
    node: str
    bundle: str
    serial: str
    signer: str
    not_after: datetime
    connected: bool
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate of the ledger that is valid and that nothing has followed; `bundle` came with it."""

    identity: str
    serial: str
    signer: str
    bundle: str
    profile: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Outstanding:
    """Who holds a rotation up. `absent`: nothing will change that by itself, `--without` its name would."""

    name: str
    reason: str
    until: datetime
    absent: bool


def authority_of(root: Authority, successor: Authority | None, phase: Phase | None) -> Authority:
    """What signs and what is trusted in a phase."""
    if phase is None or successor is None:
        return root
    if phase is Phase.DISTRIBUTING:
        return Authority(root.certificate, root.key, (), (root.certificate, successor.certificate))
    return Authority(successor.certificate, successor.key, (), (successor.certificate, root.certificate))


def name_of(identity: str, node: str) -> str:
    """How a holder is listed, and named to `--without`."""
    return f"{identity} {node}" if node else identity


def outstanding(
    phase: Phase,
    authority: Authority,
    holders: Iterable[Holder],
    leaves: Sequence[Leaf],
    without: Collection[str],
    now: datetime,
) -> tuple[Outstanding, ...]:
    """Whom a phase waits for, by name. `authority` is the one in force; `without` has names, identities or serials."""
    known = tuple(holders)
    waiting = [_of_holder(phase, authority, holder, now) for holder in known]
    in_use = {holder.serial for holder in known}
    waiting += [_of_leaf(phase, authority, leaf) for leaf in leaves if leaf.serial not in in_use]
    excluded = frozenset(without)
    return tuple(
        sorted(
            (item for item in waiting if item is not None and not _names(item.name) & excluded),
            key=lambda item: item.name,
        )
    )


def prospects(holders: Iterable[Holder], leaves: Sequence[Leaf], now: datetime) -> tuple[Outstanding, ...]:
    """Who would hold up a rotation that began now, and why: all that do not follow the bundle at this moment."""
    known = tuple(holders)
    found = [
        Outstanding(name_of(one.identity, one.node), _absence(one, now), one.not_after, now >= one.not_after)
        for one in known
        if not is_connected(one, now)
    ]
    in_use = {holder.serial for holder in known}
    found += [
        Outstanding(f"{leaf.identity} serial {leaf.serial}", _follows_nothing(leaf), leaf.not_after, False)
        for leaf in leaves
        if leaf.serial not in in_use
    ]
    return tuple(sorted(found, key=lambda item: item.name))


def is_connected(holder: Holder, now: datetime) -> bool:
    """Whether its stream is open as far as is known."""
    return holder.connected and now - holder.seen_at < SEEN_LATELY


def _of_holder(phase: Phase, authority: Authority, holder: Holder, now: datetime) -> Outstanding | None:
    name = name_of(holder.identity, holder.node)
    if phase is Phase.DISTRIBUTING:
        if holder.bundle == authority.bundle_digest:
            return None
        if is_connected(holder, now):
            return Outstanding(name, "has not confirmed the bundle with the new root", holder.not_after, False)
        return Outstanding(name, _absence(holder, now), holder.not_after, now >= holder.not_after)
    if holder.signer != _retiring(authority) or now >= holder.not_after:
        return None
    return Outstanding(name, "still presents a certificate of the old root", holder.not_after, False)


def _of_leaf(phase: Phase, authority: Authority, leaf: Leaf) -> Outstanding | None:
    took_part = {
        Phase.DISTRIBUTING: leaf.bundle == authority.bundle_digest,
        Phase.SIGNING: leaf.signer != _retiring(authority),
    }
    if took_part[phase]:
        return None
    return Outstanding(f"{leaf.identity} serial {leaf.serial}", _follows_nothing(leaf), leaf.not_after, False)


def _retiring(authority: Authority) -> str:
    """Key of the root that goes when its leaves are gone; those of signers outside stay what they are."""
    return key_id_of(authority.roots[-1])


def _absence(holder: Holder, now: datetime) -> str:
    if now >= holder.not_after:
        return f"was not seen since {holder.seen_at:%Y-%m-%d %H:%M:%S} UTC, its certificate has expired"
    return f"is away since {holder.seen_at:%Y-%m-%d %H:%M:%S} UTC and may come back with its certificate"


def _follows_nothing(leaf: Leaf) -> str:
    if leaf.profile == "server":
        return "does not renew itself: run citadel init and have the server read its certificate again"
    return "does not follow the bundle: it counts until it is renewed or has expired"


def _names(name: str) -> frozenset[str]:
    return frozenset((name, *name.split(" ")))
