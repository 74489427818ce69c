"""Which changes concern the agents of proxies: name tables, patches of the bootstrap, and what they keep for their
proxies. Pure."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import cache

from meshcore.distribution.events import Change
from meshcore.xds.types import BOOTSTRAP_TYPE, NAME_TABLE_TYPE

from pilot.core.impact import affected_types, kind_of
from pilot.core.proxy import ProxyClass
from pilot.core.snapshot import MeshSnapshot
from pilot.core.stream import Stream

_TAKEN = frozenset({NAME_TABLE_TYPE, BOOTSTRAP_TYPE})


def concerned_agents(
    streams: Iterable[Stream], moved: Collection[int], concerns: Callable[[ProxyClass], bool], *, own: bool
) -> list[Stream]:
    """The agents that a step concerns: `own`, as `concerns_agents` says, or by what they keep for proxies of classes
    that it concerns, or that have `moved`."""
    asked = cache(concerns)
    return [
        stream
        for stream in streams
        if stream.proxy_class is None
        and (own or stream.number in moved or (stream.secret_class is not None and asked(stream.secret_class)))
    ]


def concerns_agents(
    changes: Iterable[Change] | None, before: MeshSnapshot, after: MeshSnapshot, *, endpoints_alone: bool
) -> bool:
    """Whether the step from one snapshot to the next can alter what some agent has of its own; `changes` None: what led
    to it was no change of config."""
    if endpoints_alone:
        return _other_names(after) or _other_labels(before, after)
    if changes is None:
        return True
    has_sidecars = bool(before.configs.get("Sidecar")) or bool(after.configs.get("Sidecar"))
    return any(
        not _TAKEN.isdisjoint(affected_types(change))
        # What an agent's proxy sees depends on routes only where a Sidecar imports what they send to.
        and (has_sidecars or kind_of(change) != "VirtualService")
        for change in changes
    )


def _other_names(after: MeshSnapshot) -> bool:
    """Endpoints have names only where their service has no address of its own."""
    services = after.registry.services
    return any((service := services.get(key)) is not None and service.headless for key in after.registry.touched)


def _other_labels(before: MeshSnapshot, after: MeshSnapshot) -> bool:
    """Whether a selector may choose otherwise; what proxies serve is no matter of theirs."""
    then, now = before.selection, after.selection
    return then is not now and replace(then, selecting=now.selecting, by_address=now.by_address) != now
