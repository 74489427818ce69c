"""The next registry: an index that is updated, never rebuilt. An event costs what it names. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from meshcore.labels import selects
from meshcore.model import Endpoints, EndpointSlice, ServiceEntry, WorkloadEntry, WorkloadGroup
from meshcore.model import Service as KubernetesService
from meshcore.model.endpoint_slice import SERVICE_NAME_LABEL

from pilot.core.config import AnyConfig, ConfigStep, Source
from pilot.core.registry.auto_addresses import give_addresses
from pilot.core.registry.endpoint import Endpoint, ShardKey
from pilot.core.registry.index import Described, Registry
from pilot.core.registry.kubernetes import (
    endpoints_of_endpoints,
    endpoints_of_slices,
    service_host,
    service_of_kubernetes,
)
from pilot.core.registry.pods import Pods, PodsUpdate, nodes_of
from pilot.core.registry.service import DISTRIBUTION, GALLEY, Distribution, Resolution, Service, ServiceKey, preferred
from pilot.core.registry.service_entry import inline_endpoints, services_of_entry
from pilot.core.registry.workload import (
    REGISTRATION,
    RegisteredWorkload,
    Workload,
    entry_target,
    kubernetes_target,
    workload_of_entry,
    workload_of_registered,
)

_POD = "Pod"
_GALLEY_SHARD = ShardKey(GALLEY, "")


def updated(
    before: Registry,
    changes: Iterable[ConfigStep],
    registered: Iterable[tuple[tuple[str, str], RegisteredWorkload | None]] = (),
) -> Registry:
    """The registry after objects came, changed or went (None), and after registrations did."""
    update = _Update(before)
    for source, config in changes:
        update.take(source, config)
    for key, workload in registered:
        update.registration(key, workload)
    return update.finish()


class _Update:
    """One step; copies only the maps that it changes."""

    def __init__(self, before: Registry) -> None:
        self._before = before
        self._described = dict(before.described)
        self._slices = dict(before.slices)
        self._workloads = dict(before.workloads)
        self._groups = dict(before.groups)
        self._registered = dict(before.registered)
        self._hosts = dict(before.hosts)
        self._selecting = dict(before.selecting)
        self._slice_of = dict(before.slice_of)
        self._pods = PodsUpdate(before.pods)
        self._distributions = dict(before.distributions)
        self._dirty: set[ServiceKey] = set()
        self._changed_workloads: list[tuple[str, Workload | None, Workload | None]] = []

    def take(self, source: Source, config: AnyConfig | None) -> None:
        """Take in one object; objects of other kinds change nothing here."""
        kind = source[0]
        if kind in ("Service", "ServiceEntry"):
            self._services(source, config)
        elif kind in ("EndpointSlice", "Endpoints"):
            self._slice(source, config.object if config else None)
        elif kind == "Pod":
            self._pods.pod(source[1:], config.object if config else None)
        elif kind == "Node":
            self._pods.node(source[2], config.object if config else None)
        elif kind == "WorkloadEntry":
            made = None
            if config is not None and isinstance(config.object, WorkloadEntry) and not _shows_only(config.object):
                made = workload_of_entry(config.object, config.revision)
            self._workload(source, made)
        elif kind == "Namespace":
            self._namespace(source[2], config)
        elif kind == "WorkloadGroup":
            self._group(source, config.object if config else None)

    def registration(self, key: tuple[str, str], workload: RegisteredWorkload | None) -> None:
        """Take in a registration, or its end."""
        if workload is None:
            self._registered.pop(key, None)
        else:
            self._registered[key] = workload
        self._refresh_registered(key)

    def _services(self, source: Source, config: AnyConfig | None) -> None:
        made: tuple[Service, ...] = ()
        if config is not None and isinstance(config.object, KubernetesService):
            made = (service_of_kubernetes(config.object, config.revision),)
        elif config is not None and isinstance(config.object, ServiceEntry):
            made = services_of_entry(config.object, config.revision)
        for key in self._hosts.pop(source, ()):
            self._dirty.add(key)
            self._described[key] = {other: item for other, item in self._described[key].items() if other != source}
            if not self._described[key]:
                del self._described[key]
        for service in made:
            self._dirty.add(service.key)
            item = Described(service, source, config)  # type: ignore[arg-type]
            self._described[service.key] = {**self._described.get(service.key, {}), source: item}
        if made:
            self._hosts[source] = tuple(service.key for service in made)

    def _slice(self, source: Source, part: object) -> None:
        old = self._slice_of.pop(source, None)
        self._pods.slice(source, self._slices[old][source] if old is not None else None, part)
        if old is not None:
            self._dirty.add(old)
            self._slices[old] = {other: item for other, item in self._slices[old].items() if other != source}
            if not self._slices[old]:
                del self._slices[old]
        if not isinstance(part, (EndpointSlice, Endpoints)):
            return
        name = part.metadata.labels.get(SERVICE_NAME_LABEL, "") if isinstance(part, EndpointSlice) else source[2]
        key = ServiceKey(service_host(name, source[1]), source[1])
        self._slices[key] = {**self._slices.get(key, {}), source: part}
        self._slice_of[source] = key
        self._dirty.add(key)

    def _namespace(self, name: str, config: AnyConfig | None) -> None:
        said = Distribution.parse(config.object.metadata.annotations.get(DISTRIBUTION)) if config else None
        if said is self._distributions.get(name):
            return
        self._distributions.pop(name, None)
        if said is not None:
            self._distributions[name] = said
        self._dirty.update(key for key in self._described if key.namespace == name)

    def _group(self, source: Source, group: object) -> None:
        key = source[1:]
        if isinstance(group, WorkloadGroup):
            self._groups[key] = group
        else:
            self._groups.pop(key, None)
        for registration, workload in self._registered.items():
            if (workload.namespace, workload.group) == key:
                self._refresh_registered(registration)

    def _refresh_registered(self, key: tuple[str, str]) -> None:
        registered = self._registered.get(key)
        group = self._groups.get((registered.namespace, registered.group)) if registered else None
        made = workload_of_registered(registered, group) if registered and group else None
        self._workload(("Registered", *key), made)

    def _workload(self, source: Source, workload: Workload | None) -> None:
        namespace = source[1]
        before = self._workloads.get(namespace, {})
        old = before.get(source)
        if old == workload:
            return
        after = {other: item for other, item in before.items() if other != source}
        if workload is not None:
            after[source] = workload
        self._workloads[namespace] = after
        if not after:
            del self._workloads[namespace]
        self._changed_workloads.append((namespace, old, workload))

    def finish(self) -> Registry:
        """Derive what is dirty, keep the rest as it is."""
        pods = self._pods.finish()
        for name in self._pods.changed:
            self._dirty.update(self._slice_of[source] for source in self._pods.users(name))
            self._workload((_POD, *name), pods.selectable(name))
        if moved := self._pods.moved:
            parts = ((key, part) for key, found in self._slices.items() for part in found.values())
            self._dirty.update(key for key, part in parts if not moved.isdisjoint(nodes_of(part)))
        self._mark_selecting_services()
        services, by_host, endpoints = (
            dict(self._before.services),
            dict(self._before.by_host),
            dict(self._before.endpoints),
        )
        for key in self._dirty:
            described = self._described.get(key, {})
            service = preferred(tuple(item.service for item in described.values()))
            if service is not None and service.distribution is None and key.namespace in self._distributions:
                service = replace(service, distribution=self._distributions[key.namespace])
            known = services.get(key)
            if service is not None and service.wants_address and known is not None:
                service = replace(service, given_addresses=known.given_addresses)
            self._set_service(key, service, services, by_host)
            self._note_selecting(key, described)
            found = self._endpoints(key, described, pods)
            if found != endpoints.get(key, ()):
                endpoints[key] = found
            if not found:
                endpoints.pop(key, None)
        self._give_addresses(services, by_host)
        changed = {key for key in self._dirty if services.get(key) is not self._before.services.get(key)}
        same = not changed
        changed.update(key for key in self._dirty if endpoints.get(key) is not self._before.endpoints.get(key))
        return replace(
            self._before,
            services=self._before.services if same else services,
            by_host=self._before.by_host if same else by_host,
            endpoints=endpoints,
            workloads=self._workloads,
            described=self._described,
            hosts=self._hosts,
            selecting=self._selecting,
            slices=self._slices,
            slice_of=self._slice_of,
            pods=pods,
            distributions=self._distributions,
            groups=self._groups,
            registered=self._registered,
            touched=frozenset(changed),
            replaced={key: old for key in changed if (old := self._before.services.get(key)) is not None},
        )

    def _mark_selecting_services(self) -> None:
        for namespace, *pair in self._changed_workloads:
            for key in self._selecting.get(namespace, ()):
                selectors = [item.service.selector for item in self._described.get(key, {}).values()]
                if any(sel is not None and selects(sel, item.labels) for sel in selectors for item in pair if item):
                    self._dirty.add(key)

    def _note_selecting(self, key: ServiceKey, described: Mapping[Source, Described]) -> None:
        known = self._selecting.get(key.namespace, frozenset())
        is_selecting = any(item.service.selector is not None for item in described.values())
        if is_selecting != (key in known):
            self._selecting[key.namespace] = known | {key} if is_selecting else known - {key}
            if not self._selecting[key.namespace]:
                del self._selecting[key.namespace]

    def _give_addresses(self, services: dict[ServiceKey, Service], by_host: dict[str, tuple[Service, ...]]) -> None:
        """To whoever wants one; looked at only when somebody may have come or gone."""
        sides = ((self._before.services.get(key), services.get(key)) for key in self._dirty)
        if not any(old is not new and any(one and one.wants_address for one in (old, new)) for old, new in sides):
            return
        given = give_addresses(services.values())
        for key, service in list(services.items()):
            if service.given_addresses != given.get(key, ()):
                self._dirty.add(key)
                self._set_service(key, replace(service, given_addresses=given.get(key, ())), services, by_host)

    def _set_service(
        self,
        key: ServiceKey,
        service: Service | None,
        services: dict[ServiceKey, Service],
        by_host: dict[str, tuple[Service, ...]],
    ) -> None:
        if service is not None and services.get(key) == service:
            return
        others = tuple(item for item in by_host.get(key.host, ()) if item.namespace != key.namespace)
        if service is None:
            services.pop(key, None)
        else:
            services[key] = service
            others = tuple(sorted((*others, service), key=lambda item: (not item.from_kubernetes, item.age)))
        if others:
            by_host[key.host] = others
        else:
            by_host.pop(key.host, None)

    def _endpoints(self, key: ServiceKey, described: Mapping[Source, Described], pods: Pods) -> tuple[Endpoint, ...]:
        shards: dict[ShardKey, list[Endpoint]] = {}
        for item in described.values():
            listed = shards.setdefault(_GALLEY_SHARD, [])
            if isinstance(item.config.object, ServiceEntry):
                listed.extend(inline_endpoints(item.config.object, item.service))
            else:
                listed.extend(self._listed(key, item, pods))
            if item.service.selector is None:
                continue
            for (kind, *_), workload in self._workloads.get(key.namespace, {}).items():
                if kind == _POD and item.service.from_kubernetes:
                    continue  # its slices list the pods
                if selects(item.service.selector, workload.labels):
                    shards.setdefault(workload.shard, []).extend(_selected(item.service, workload))
        merged: dict[tuple[str, int, str], Endpoint] = {}
        for shard in sorted(shards):
            for endpoint in sorted(shards[shard], key=lambda item: item.sort_key):
                merged.setdefault((endpoint.address, endpoint.port, endpoint.port_name), endpoint)
        return tuple(merged.values())

    def _listed(self, key: ServiceKey, item: Described, pods: Pods) -> Iterable[Endpoint]:
        parts = [part for _, part in sorted(self._slices.get(key, {}).items())]
        slices = [part for part in parts if isinstance(part, EndpointSlice)]
        spec = item.config.object.spec
        if slices:
            yield from endpoints_of_slices(item.service, slices, spec, pods)
            return
        for part in parts:
            if isinstance(part, Endpoints):
                yield from endpoints_of_endpoints(item.service, part, spec, pods)


def _shows_only(entry: WorkloadEntry) -> bool:
    """Whether it stands for a registration, which is an endpoint already."""
    return REGISTRATION in entry.metadata.annotations


def _selected(service: Service, workload: Workload) -> Iterable[Endpoint]:
    if service.resolution is Resolution.ALIAS:
        return
    for port in service.ports:
        target = kubernetes_target if service.from_kubernetes else entry_target
        number = target(port, workload.ports)
        if number is not None:
            yield workload.endpoint(port.name, number)
