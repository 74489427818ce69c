"""Counts what there is to be said of the config that classes of proxies are given."""

from collections.abc import Container

from meshcore.xds.resource import ResourceSet

from pilot.adapters import telemetry
from pilot.core.diagnostics import GATEWAY_REFUSALS, HOST_TWICE, Diagnostic
from pilot.core.proxy import ProxyClass

_REMEMBERED = 10_000
"""Refusals that are not counted again; forgotten when there are more."""


class ConfigCounts:
    """Once for all streams that are given the same."""

    def __init__(self) -> None:
        self._rejected: frozenset[Diagnostic] = frozenset()
        self._shadowed: dict[ProxyClass, frozenset[str]] = {}
        """By class: its VirtualServices that another one comes before, if there are any."""
        self._noted: dict[ProxyClass | None, tuple[Diagnostic, ...]] = {}
        """By class: what was looked at since the last change."""

    def note(self, one: ProxyClass | None, resources: ResourceSet) -> None:
        """Somebody of this class is given this."""
        if self._noted.get(one) is not resources.diagnostics:
            self._noted[one] = resources.diagnostics
            self._note_rejected(resources)
            self._note_shadowed(one, resources)

    def left(self, one: ProxyClass | None, classes: Container[ProxyClass]) -> None:
        """One fewer is of this class; these are left."""
        self._noted.pop(one, None)
        self._forget(classes)

    def changed(self, classes: Container[ProxyClass]) -> None:
        """Config has changed; these classes are left."""
        self._noted.clear()
        self._forget(classes)

    def _note_rejected(self, resources: ResourceSet) -> None:
        """Count what of Gateways was left out, once for each reason."""
        found = frozenset(item for item in resources.diagnostics if item.code in GATEWAY_REFUSALS)
        for item in found - self._rejected:
            telemetry.REJECTED_CONFIGS.labels("gateway", item.config_name).inc()
        remembered = self._rejected if len(self._rejected) < _REMEMBERED else frozenset()
        self._rejected = remembered | found

    def _note_shadowed(self, one: ProxyClass | None, resources: ResourceSet) -> None:
        """Count the VirtualServices that another one comes before, over all classes that somebody is of."""
        found = frozenset(item.config for item in resources.diagnostics if item.code == HOST_TWICE)
        if one is not None and found != self._shadowed.get(one, frozenset()):
            self._shadowed[one] = found
            self._count_shadowed()

    def _forget(self, classes: Container[ProxyClass]) -> None:
        """Those of classes that nobody is of any more."""
        if self._shadowed:
            self._shadowed = {one: found for one, found in self._shadowed.items() if one in classes}
            self._count_shadowed()

    def _count_shadowed(self) -> None:
        telemetry.DUPLICATE_DOMAINS.set(len(frozenset().union(*self._shadowed.values())))
