"""Patches of listeners and of all in them: listener filters, chains, network and HTTP filters, inline routes. Pure."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.model.envoy_filter import ApplyTo, PatchContext, PatchOperation

from pilot.core.compiler.context import Compiled
from pilot.core.compiler.envoy_filter.acceptance import TWINS, chain_fault, listener_fault
from pilot.core.compiler.envoy_filter.chain_overlap import overlapping
from pilot.core.compiler.envoy_filter.filter_lists import patch_filters
from pilot.core.compiler.envoy_filter.filter_matches import (
    VIRTUAL,
    chain_matches,
    listener_matches,
    wanted_filter,
    wanted_sub_filter,
)
from pilot.core.compiler.envoy_filter.patches import Patches, PatchOf
from pilot.core.compiler.envoy_filter.routes import patch_route_configuration
from pilot.core.compiler.envoy_filter.work import Outcome, Patching, merge_named
from pilot.core.compiler.messages import any_of

_Manager = http_connection_manager_pb2.HttpConnectionManager
_ROUTES = (ApplyTo.ROUTE_CONFIGURATION, ApplyTo.VIRTUAL_HOST, ApplyTo.HTTP_ROUTE)


def patched_listener(item: Compiled, patches: Patches) -> Outcome:
    """The listener after all patches that match it or something in it."""
    listener = listener_pb2.Listener.FromString(item.resource.body)
    inbound = listener.traffic_direction == base_pb2.TrafficDirection.INBOUND
    work = _ListenerWork(listener, patches, PatchContext.SIDECAR_INBOUND if inbound else PatchContext.SIDECAR_OUTBOUND)
    if any(patch.operation is PatchOperation.REMOVE for patch in work.of(ApplyTo.LISTENER)):
        return Outcome(None)
    work.patch()
    return work.patching.finished(item, listener)


class _ListenerWork:
    """One listener in the making, in the order in which Istio goes through it."""

    def __init__(self, listener: listener_pb2.Listener, patches: Patches, context: PatchContext) -> None:
        self.listener = listener
        self.patching = Patching(f"listener {listener.name}")
        self._patches = patches
        self._context = context

    def of(self, target: ApplyTo) -> Iterator[PatchOf]:
        """The patches of one kind whose match means this listener."""
        whole = target is ApplyTo.LISTENER
        for patch in self._patches.of(target, self._context):
            if listener_matches(patch, self.listener, whole=whole):
                yield patch

    def patch(self) -> None:
        """Everything but removing the listener."""
        for patch in self.of(ApplyTo.LISTENER):
            if patch.merges:
                self.patching.attempt(patch, self.listener, merge_named, listener_fault)
        named = [(patch, _listener_filter(patch)) for patch in self.of(ApplyTo.LISTENER_FILTER)]
        patch_filters(self.patching, self.listener.listener_filters, named, ends=False)
        self._chains()
        for chain in self._all_chains():
            self._network_filters(chain)

    def _all_chains(self) -> Iterator[Any]:
        yield from self.listener.filter_chains
        if self.listener.HasField("default_filter_chain"):
            yield self.listener.default_filter_chain

    def _chains(self) -> None:
        for patch in self.of(ApplyTo.FILTER_CHAIN):
            if patch.merges:
                for chain in self._all_chains():
                    if chain_matches(patch, self.listener, chain):
                        self.patching.attempt(patch, chain, merge_named, partial(self._twin, chain))
            elif patch.operation is PatchOperation.REMOVE:
                self.patching.attempt(patch, self.listener, self._remove, listener_fault)
            elif self._takes(patch):
                self.patching.attempt(patch, self.listener, _append_chain, listener_fault)

    def _takes(self, patch: PatchOf) -> bool:
        """A chain for any side goes to the outbound one; on a virtual listener it must be for the port of the match."""
        if patch.match.context is PatchContext.ANY and self._context is PatchContext.SIDECAR_INBOUND:
            return False
        match = patch.match.listener
        port = patch.value.filter_chain_match.destination_port.value
        return match is None or self.listener.name not in VIRTUAL or match.port_number in (0, port)

    def _twin(self, chain: Any, trial: Any) -> str:
        chains = [trial if other is chain else other for other in self.listener.filter_chains]
        return TWINS if overlapping(chains) else chain_fault(trial)

    def _remove(self, trial: Any, patch: PatchOf) -> None:
        kept = [chain for chain in trial.filter_chains if not chain_matches(patch, self.listener, chain)]
        if len(kept) < len(trial.filter_chains):
            del trial.filter_chains[:]
            trial.filter_chains.extend(kept)
        if trial.HasField("default_filter_chain") and chain_matches(patch, self.listener, trial.default_filter_chain):
            trial.ClearField("default_filter_chain")

    def _network_filters(self, chain: Any) -> None:
        named = [
            (patch, wanted_filter(patch))
            for patch in self.of(ApplyTo.NETWORK_FILTER)
            if chain_matches(patch, self.listener, chain)
        ]
        patch_filters(self.patching, chain.filters, named)
        inside = [
            (patch, wanted_sub_filter(patch))
            for patch in self.of(ApplyTo.HTTP_FILTER)
            if chain_matches(patch, self.listener, chain)
        ]
        has_routes = any(target in self._patches.by_target for target in _ROUTES)
        if not inside and not has_routes:
            return
        for item in chain.filters:
            if item.typed_config.Is(_Manager.DESCRIPTOR):
                self._manager(item, inside)

    def _manager(self, item: Any, patches: list[tuple[PatchOf, str]]) -> None:
        manager = _Manager.FromString(item.typed_config.value)
        inner = Patching(self.patching.name)
        if manager.HasField("route_config"):
            patch_route_configuration(inner, manager.route_config, self._patches, self._context)
        patch_filters(inner, manager.http_filters, patches)
        if inner.changed:
            item.typed_config.CopyFrom(any_of(manager))
        self.patching.take(inner)


def _listener_filter(patch: PatchOf) -> str:
    return patch.match.listener.listener_filter if patch.match.listener is not None else ""


def _append_chain(listener: Any, patch: PatchOf) -> None:
    listener.filter_chains.append(patch.value)
