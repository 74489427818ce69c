"""No two listeners on one address, which Envoy refuses: a patch that would lead there is left out. Pure.

Looked at only where a patch names an address at all.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from envoy.config.listener.v3 import listener_pb2
from meshcore.model.envoy_filter import ApplyTo
from meshcore.xds.resource import PackedResource
from meshcore.xds.types import LISTENER_TYPE

from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.envoy_filter.patches import Patches, PatchOf
from pilot.core.diagnostics import Diagnostic


class Turn(NamedTuple):
    """A resource before and after patching (None: it was not there, or is not any more), and what went wrong."""

    before: Compiled | None
    after: Compiled | None
    problem: Diagnostic | None = None


def on_own_addresses(work: Compilation, patches: Patches, turns: Iterable[Turn]) -> Iterator[Turn]:
    """The same turns; a listener that moved or came onto another's address is taken back."""
    mover = next((patch for patch in patches.by_target.get(ApplyTo.LISTENER, ()) if _names_address(patch)), None)
    if mover is None:
        yield from turns
        return
    kept = list(turns)
    own = (_addresses(work, turn.before.resource) for turn in kept if turn.before and _listens(turn.before))
    taken = frozenset[bytes]().union(*own)
    for turn in kept:
        if turn.after is None or not _listens(turn.after):
            yield turn
            continue
        addresses = _addresses(work, turn.after.resource)
        if turn.before is not None and addresses == _addresses(work, turn.before.resource):
            yield turn
        elif addresses & taken:
            where = f"listener {turn.after.resource.name}"
            yield Turn(turn.before, turn.before, mover.problem(where, "another listener has that address"))
        else:
            taken |= addresses
            yield turn


def _names_address(patch: PatchOf) -> bool:
    return patch.value is not None and patch.value.HasField("address")


def _listens(item: Compiled) -> bool:
    return item.resource.type_url == LISTENER_TYPE


def _addresses(work: Compilation, resource: PackedResource) -> frozenset[bytes]:
    return work.memo(("addresses", resource), partial(_read, resource))


def _read(resource: PackedResource) -> frozenset[bytes]:
    listener = listener_pb2.Listener.FromString(resource.body)
    every = (listener.address, *(item.address for item in listener.additional_addresses))
    return frozenset(address.SerializeToString(deterministic=True) for address in every)
