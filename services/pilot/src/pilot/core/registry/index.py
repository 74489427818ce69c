"""The registry as an immutable index: services, endpoints, and what they were made of. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from meshcore.hosts import host_matches, is_wildcard
from meshcore.model import Endpoints, EndpointSlice, WorkloadGroup

from pilot.core.config import AnyConfig, Source
from pilot.core.registry.endpoint import Endpoint
from pilot.core.registry.pods import Pods
from pilot.core.registry.service import Distribution, Service, ServiceKey
from pilot.core.registry.workload import RegisteredWorkload, Workload


@dataclass(frozen=True)
class Described:
    """A service and the object that describes it."""

    service: Service
    source: Source
    config: AnyConfig


@dataclass(frozen=True)
class Registry:
    """Services by host and namespace, and their endpoints.

    A service that two objects describe has one description (Kubernetes' own, else the oldest) and the endpoints of
    both. Values stay the same objects while nothing about them changes.
    """

    services: Mapping[ServiceKey, Service] = field(default_factory=dict)
    by_host: Mapping[str, tuple[Service, ...]] = field(default_factory=dict)
    endpoints: Mapping[ServiceKey, tuple[Endpoint, ...]] = field(default_factory=dict)
    """All endpoints of all ports, sorted; a service without any has no entry."""
    workloads: Mapping[str, Mapping[Source, Workload]] = field(default_factory=dict)
    """By namespace: what selectors can select."""
    described: Mapping[ServiceKey, Mapping[Source, Described]] = field(default_factory=dict)
    hosts: Mapping[Source, tuple[ServiceKey, ...]] = field(default_factory=dict)
    """Which services an object describes."""
    selecting: Mapping[str, frozenset[ServiceKey]] = field(default_factory=dict)
    """By namespace: services that select workloads."""
    slices: Mapping[ServiceKey, Mapping[Source, EndpointSlice | Endpoints]] = field(default_factory=dict)
    slice_of: Mapping[Source, ServiceKey] = field(default_factory=dict)
    pods: Pods = field(default_factory=Pods)
    distributions: Mapping[str, Distribution] = field(default_factory=dict)
    """By namespace: what its annotation says for its services."""
    groups: Mapping[tuple[str, str], WorkloadGroup] = field(default_factory=dict)
    registered: Mapping[tuple[str, str], RegisteredWorkload] = field(default_factory=dict)
    touched: frozenset[ServiceKey] = field(default=frozenset(), compare=False)
    """Services of which the last update changed something, or their endpoints."""
    replaced: Mapping[ServiceKey, Service] = field(default_factory=dict, compare=False)
    """Those of them that were there before it, as they were."""

    def endpoints_of(self, service: Service) -> tuple[Endpoint, ...]:
        """The endpoints of a service; always the same object while they do not change."""
        return self.endpoints.get(service.key, ())

    def covered_by(self, pattern: str) -> tuple[Service, ...]:
        """The services of every namespace whose host this one, which may be a wildcard, stands for."""
        if not is_wildcard(pattern):
            return self.by_host.get(pattern, ())
        if pattern not in self._covered:
            hosts = (host for host in self.by_host if host_matches(pattern, host))
            self._covered[pattern] = tuple(service for host in hosts for service in self.by_host[host])
        return self._covered[pattern]

    @cached_property
    def _covered(self) -> dict[str, tuple[Service, ...]]:
        return {}

    @cached_property
    def in_namespace(self) -> Mapping[str, frozenset[ServiceKey]]:
        """By namespace: its services, and those of others with an endpoint in it."""
        found: dict[str, set[ServiceKey]] = {}
        for key in self.services:
            for namespace in {key.namespace, *(item.namespace for item in self.endpoints.get(key, ()))}:
                found.setdefault(namespace, set()).add(key)
        return {namespace: frozenset(keys) for namespace, keys in found.items()}
