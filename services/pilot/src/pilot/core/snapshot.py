"""The mesh at one revision: config indexes and registry, frozen. `apply` makes the next one and keeps all that stayed.

Pure. Identity carries meaning: a part that did not change is the same object in the next snapshot, so memos of the
compiler hold across revisions. An object that cannot be taken, whatever the reason, keeps its last good form and leaves
a diagnostic; no other is disturbed.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, Protocol

from meshcore.errors import ErrorCode, MeshError
from meshcore.model import (
    DestinationRule,
    EnvoyFilter,
    MeshConfig,
    MeshObject,
    Sidecar,
    VirtualService,
    parse_mesh_config,
)
from meshcore.model.gateway_api.references import GATEWAY_API
from meshcore.model.kinds import GATEWAY_API_TRIALS, MIXER, by_plural
from meshcore.model.mesh_config import CONFIG_MAP_NAME, MESH_KEY, ROOT_NAMESPACE

from pilot.core.config import AnyConfig, Config, Configs, ConfigsByNamespace, ConfigStep, Name, Source, as_written
from pilot.core.delegates import Delegating, delegating
from pilot.core.discovery import FRAME_KINDS, discovered
from pilot.core.ingress import NO_INGRESS, IngressConfig, OfIngress, Spaces, joined_routes, of_ingresses
from pilot.core.intake import LeftOut, RecordLike, Untaken, left_out, path_of, read_object
from pilot.core.issuer_keys import IssuerKeys, KeyFetching, KeySource, wanted_sources
from pilot.core.namespace_index import sorted_again
from pilot.core.networks import NO_NETWORKS, Networks, networks_of
from pilot.core.peer_authentication import NO_POLICY, NamespaceMtls, mtls_by_namespace
from pilot.core.registry import RegisteredWorkload
from pilot.core.registry.index import Registry
from pilot.core.registry.kinds import REGISTRY_KINDS
from pilot.core.registry.update import updated
from pilot.core.selection import (
    Selection,
    counted_keys,
    failover_keys,
    read_by_mesh,
    read_label_keys,
    read_metadata_keys,
    read_place_keys,
    updated_selection,
)
from pilot.core.senders import Senders

_OF_NETWORKS = frozenset({"Service", "Namespace", "ConfigMap"})
_MESH_CONFIG: Source = ("ConfigMap", ROOT_NAMESPACE, CONFIG_MAP_NAME)
_OTHER_GROUPS = frozenset({GATEWAY_API, GATEWAY_API_TRIALS, MIXER})
"""Groups whose objects are stored but not compiled; one of them has a kind of the same name as Istio's Gateway."""


class ChangeLike(Protocol):
    """What is read of a change (`meshcore.distribution.events.Change`)."""

    @property
    def key(self) -> tuple[str, str, str, str]: ...  # noqa: D102
    @property
    def record(self) -> RecordLike: ...  # noqa: D102


@dataclass(frozen=True)
class MeshSnapshot:
    """Everything that a compile may look at, but for the class of the proxy."""

    revision: int = 0
    mesh_config: MeshConfig = field(default_factory=MeshConfig)
    configs: Configs = field(default_factory=dict)
    registry: Registry = field(default_factory=Registry)
    selection: Selection = field(default_factory=Selection)
    key_counts: Mapping[str, int] = field(default_factory=dict)
    metadata_counts: Mapping[str, int] = field(default_factory=dict)
    place_counts: Mapping[str, int] = field(default_factory=dict)
    by_namespace: ConfigsByNamespace = field(default_factory=dict)
    delegating: Mapping[Name, Delegating] = field(default_factory=dict)
    """VirtualServices with the rules of their delegates; `by_namespace` has these, `configs` what was written."""
    senders: Senders = field(default_factory=Senders)
    """The VirtualServices of `by_namespace`, by where they send."""
    ingress: IngressConfig = NO_INGRESS
    """Gateways and VirtualServices that Ingresses stand for; `by_namespace` has the latter."""
    networks: Networks = NO_NETWORKS
    mtls_policies: Mapping[str, NamespaceMtls] = field(default_factory=dict)
    hidden: Mapping[Source, AnyConfig] = field(default_factory=dict)
    """Objects of namespaces that do not count (`discoverySelectors`)."""
    keys: IssuerKeys = field(default_factory=IssuerKeys)
    """What was fetched of the keys of JWT issuers."""
    diagnostics: Mapping[Source, LeftOut] = field(default_factory=dict)
    """Objects whose newest version is left out."""

    @classmethod
    def empty(cls) -> "MeshSnapshot":
        """A mesh without any config: every default."""
        return cls()

    @classmethod
    def of(cls, objects: Iterable[MeshObject], revision: int = 0) -> "MeshSnapshot":
        """The mesh of these objects, as offline tools and tests have them."""
        routed = [item for item in objects if item.api_version.partition("/")[0] not in _OTHER_GROUPS]
        return cls()._with(((item.kind, *item.namespaced_name), Config(item)) for item in routed)._at(revision)

    @classmethod
    def of_entries(
        cls, entries: Mapping[Any, RecordLike], revision: int, before: "MeshSnapshot | None" = None
    ) -> "MeshSnapshot":
        """The mesh of a feed's full state (`FullState.entries`). Objects whose version in it has to be left out stay as
        they were `before`."""
        taken = [(key, record) for key, record in entries.items()]
        made = cls()._taking(taken, revision)
        if not made.diagnostics:
            return made
        if before is not None and _MESH_CONFIG in made.diagnostics:
            made = cls(mesh_config=before.mesh_config)._taking(taken, revision)
        kept: list[ConfigStep] = []
        for source in made.diagnostics:
            config = None if before is None else before._config(source)
            if config is not None and made._config(source) is None:
                kept.append((source, config))
        made = made._indexing(kept)._at(revision)
        if not made.configs and not made.hidden and len(made.diagnostics) > 1:
            # That is no matter of single objects, and a mesh without any is worse than none.
            first = min(made.diagnostics.values())
            detail = f"none of {len(made.diagnostics)} objects can be taken: {first.config}: {first.brief}"
            raise MeshError(ErrorCode.INTERNAL, detail)
        return made

    def apply(self, changes: Iterable[ChangeLike], revision: int | None = None) -> "MeshSnapshot":
        """The mesh after a change set; its revision is the greatest one in it unless one is given."""
        taken = [(change.key, change.record) for change in changes]
        newest = max((record.revision for _, record in taken), default=self.revision)
        return self._taking(taken, newest if revision is None else revision)

    def left_out_of(self, changes: Iterable[ChangeLike]) -> tuple[Untaken, ...]:
        """Which of these changes, which this is the mesh after, are not in it: their version is left out."""
        found: list[Untaken] = []
        for change in changes if self.diagnostics else ():
            source = _source_of(change.key)
            if source is not None and source in self.diagnostics:
                path = f"{path_of(source)}@{change.record.revision}"
                found.append(Untaken(path, self.diagnostics[source].message))
        return tuple(found)

    def supposing(self, objects: Iterable[tuple[MeshObject, bool]]) -> "MeshSnapshot":
        """The mesh with these objects written, or removed (True): at the next revision, for looking only."""
        revision = self.revision + 1
        steps: list[ConfigStep] = []
        for item, removed in objects:
            source = (item.kind, *item.namespaced_name)
            if item.api_version.partition("/")[0] in _OTHER_GROUPS:
                continue
            made = None if removed else as_written(item, self._object(source))
            if removed or made is not None:
                steps.append((source, None if made is None else Config(made, revision)))
        return self._with(steps)._at(revision)

    def with_forms(self, forms: Mapping[Source, AnyConfig | None]) -> "MeshSnapshot":
        """The mesh at the same revision with these objects in other forms; None: without them."""
        return self._with(forms.items())

    def config(self, source: Source) -> AnyConfig | None:
        """An object that counts."""
        return self.configs.get(source[0], {}).get((source[1], source[2]))

    def with_registered(self, entries: Iterable[RegisteredWorkload]) -> "MeshSnapshot":
        """The mesh in which exactly these workloads are registered."""
        wanted = {(entry.namespace, entry.name): entry for entry in entries}
        before = self.registry.registered
        steps: list[tuple[Name, RegisteredWorkload | None]] = [(key, None) for key in before if key not in wanted]
        steps += [(key, entry) for key, entry in wanted.items() if before.get(key) != entry]
        if not steps:
            return self
        return self._with_registry(updated(self.registry, (), steps))

    def with_keys(self, keys: IssuerKeys) -> "MeshSnapshot":
        """The mesh in which this is known of issuers' keys."""
        return self if keys is self.keys else replace(self, keys=keys)

    def key_sources(self) -> Mapping[KeySource, timedelta]:
        """The keys that some RequestAuthentication needs Pilot to fetch; see `wanted_sources`."""
        found = wanted_sources(self.configs.get("RequestAuthentication", {}).values())
        if self.keys.fetching is KeyFetching.ENVOY:
            return {source: limit for source, limit in found.items() if not source.uri}
        return found

    def virtual_services(self, namespace: str) -> tuple[Config[VirtualService], ...]:
        """VirtualServices of one namespace, oldest first."""
        return self.by_namespace.get("VirtualService", {}).get(namespace, ())

    def destination_rules(self, namespace: str) -> tuple[Config[DestinationRule], ...]:
        """DestinationRules of one namespace, oldest first."""
        return self.by_namespace.get("DestinationRule", {}).get(namespace, ())

    def sidecars(self, namespace: str) -> tuple[Config[Sidecar], ...]:
        """Sidecars of one namespace, oldest first."""
        return self.by_namespace.get("Sidecar", {}).get(namespace, ())

    def envoy_filters(self, namespace: str) -> tuple[Config[EnvoyFilter], ...]:
        """EnvoyFilters of one namespace, oldest first."""
        return self.by_namespace.get("EnvoyFilter", {}).get(namespace, ())

    def mtls(self, namespace: str) -> NamespaceMtls:
        """The PeerAuthentications that count in a namespace; the same object while none of them changes."""
        found = self.mtls_policies.get(namespace)
        return found if found is not None else self.mtls_policies.get("", NO_POLICY)

    @cached_property
    def concerned(self) -> dict[Hashable, bool]:
        """By class of proxies: whether what the registry last touched is in its scope. Filled by `impact`, which is
        asked for every change of a set; a memo, no input."""
        return {}

    def _at(self, revision: int) -> "MeshSnapshot":
        return self if revision == self.revision else replace(self, revision=revision)

    def _taking(self, taken: list[tuple[Any, RecordLike]], revision: int) -> "MeshSnapshot":
        steps: list[ConfigStep] = []
        problems = dict(self.diagnostics)
        for key, record in sorted(taken, key=lambda item: tuple(item[0])):
            source = _source_of(key)
            if source is None:
                continue
            problems.pop(source, None)
            if record.deleted:
                steps.append((source, None))
                continue
            try:
                steps.append((source, Config(read_object(source, key[0], record), record.revision)))
            except Exception as error:  # noqa: BLE001 - of one record; who takes the snapshot tells of it
                problems[source] = left_out(source, error, "while it was read")
        return replace(self, diagnostics=problems)._indexing(steps)._at(revision)

    def _indexing(self, steps: list[ConfigStep]) -> "MeshSnapshot":
        """With these steps, but for those that cannot be indexed: they are looked for by halves, since what is made of
        objects is made of all at once."""
        try:
            return self._with(steps)
        except Exception as error:  # noqa: BLE001 - of one object, once it is found; who takes the snapshot tells of it
            if len(steps) != 1:
                half = len(steps) // 2
                return self._indexing(steps[:half])._indexing(steps[half:])
            source = steps[0][0]
            problem = left_out(source, error, "while it was indexed")
            return replace(self, diagnostics={**self.diagnostics, source: problem})

    def _with(self, steps: Iterable[ConfigStep]) -> "MeshSnapshot":
        """What decides which namespaces count comes first."""
        frame: list[ConfigStep] = []
        rest: list[ConfigStep] = []
        for step in steps:
            (frame if step[0][0] in FRAME_KINDS else rest).append(step)
        framed = self._stepped(frame) if frame else self
        if not framed.mesh_config.discovery_selectors and not framed.hidden:
            return framed._stepped(rest) if rest or not frame else framed
        mesh, configs = framed.mesh_config, framed.configs
        shown, hidden = discovered(mesh, configs, framed.hidden, rest, again=bool(frame))
        return replace(framed, hidden=hidden)._stepped(shown)

    def _stepped(self, steps: list[ConfigStep]) -> "MeshSnapshot":
        turns = [(self._object(source), new.object if new else None) for source, new in steps]
        labels = counted_keys(self.key_counts, turns, read_label_keys)
        metadata = counted_keys(self.metadata_counts, turns, read_metadata_keys)
        places = counted_keys(self.place_counts, turns, read_place_keys)
        configs = dict(self.configs)
        touched: dict[str, set[str]] = {}
        for (kind, namespace, name), config in steps:
            if touched.setdefault(kind, set()) == set():
                configs[kind] = dict(configs.get(kind, {}))
            touched[kind].add(namespace)
            if config is None:
                configs[kind].pop((namespace, name), None)  # type: ignore[attr-defined]
            else:
                configs[kind][namespace, name] = config  # type: ignore[index]
        snapshot = replace(
            self,
            configs=configs,
            by_namespace=sorted_again(self.by_namespace, configs, touched),
            key_counts=labels,
            metadata_counts=metadata,
            place_counts=places,
        )
        if "ConfigMap" in touched:
            snapshot = _with_mesh_config(snapshot)
        if "VirtualService" in touched or snapshot.mesh_config is not self.mesh_config:
            snapshot = _with_delegates(snapshot, touched.get("VirtualService", set()))
        if configs.get("Ingress") or snapshot.ingress is not NO_INGRESS:
            snapshot = _with_ingress(snapshot)
        routes = snapshot.by_namespace.get("VirtualService")
        if routes is not self.by_namespace.get("VirtualService"):
            snapshot = replace(snapshot, senders=Senders(routes or {}))
        if not touched.keys().isdisjoint(_OF_NETWORKS):
            root = snapshot.mesh_config.root_namespace
            snapshot = replace(snapshot, networks=networks_of(configs, root, snapshot.networks))
        if "PeerAuthentication" in touched or snapshot.mesh_config.root_namespace != self.mesh_config.root_namespace:
            policies, root = snapshot.by_namespace.get("PeerAuthentication", {}), snapshot.mesh_config.root_namespace
            snapshot = replace(snapshot, mtls_policies=mtls_by_namespace(policies, root, self.mtls_policies))
        read_labels, read_metadata = read_by_mesh(snapshot.mesh_config)
        read_places = {*places, *failover_keys(snapshot.mesh_config.locality_lb_setting)}
        selection = snapshot.selection.with_keys({*labels, *read_labels}, read_places, {*metadata, *read_metadata})
        snapshot = replace(snapshot, selection=selection)
        registry_steps = [step for step in steps if step[0][0] in REGISTRY_KINDS]
        return snapshot._with_registry(updated(self.registry, registry_steps)) if registry_steps else snapshot

    def _object(self, source: Source) -> MeshObject | None:
        found = self.configs.get(source[0], {}).get(source[1:])
        return found.object if found else None

    def _config(self, source: Source) -> AnyConfig | None:
        found = self.config(source)
        return self.hidden.get(source) if found is None else found

    def _with_registry(self, registry: Registry) -> "MeshSnapshot":
        return replace(self, registry=registry, selection=updated_selection(self.selection, self.registry, registry))


def _source_of(key: tuple[str, str, str, str]) -> Source | None:
    """The object under a key; None where it cannot concern a compile: a kind that this version does not know is one."""
    if key[0] in _OTHER_GROUPS:
        return None
    try:
        return by_plural(key[0], key[1]).kind, key[2], key[3]
    except MeshError:
        return None


def _with_mesh_config(snapshot: MeshSnapshot) -> MeshSnapshot:
    found = snapshot.configs["ConfigMap"].get((ROOT_NAMESPACE, CONFIG_MAP_NAME))
    source = _MESH_CONFIG
    try:
        parsed = parse_mesh_config(found.object.data.get(MESH_KEY, "")) if found else MeshConfig()
    except MeshError as error:
        problem = left_out(source, error, "while it was read")
        return replace(snapshot, diagnostics={**snapshot.diagnostics, source: problem})
    return snapshot if parsed == snapshot.mesh_config else replace(snapshot, mesh_config=parsed)


def _with_delegates(snapshot: MeshSnapshot, touched: set[str]) -> MeshSnapshot:
    """`touched` are namespaces of which `by_namespace` has VirtualServices as they were written."""
    written: Mapping[Name, Config[VirtualService]] = snapshot.configs.get("VirtualService", {})
    before = snapshot.delegating
    after = delegating(written, before, snapshot.mesh_config.default_virtual_service_export_to)
    changed = {name[0] for name in {*before, *after} if before.get(name) is not after.get(name)}
    if not changed and not after:
        return snapshot
    spaces = dict(snapshot.by_namespace.get("VirtualService", {}))
    for namespace in (touched | changed) & spaces.keys():
        own = (config for config in spaces[namespace] if not isinstance(config, OfIngress))
        spaces[namespace] = tuple(after.get((namespace, one.name), written[namespace, one.name]) for one in own)
    by_namespace = {**snapshot.by_namespace, "VirtualService": spaces}
    return replace(snapshot, by_namespace=by_namespace, delegating=after)


def _with_ingress(snapshot: MeshSnapshot) -> MeshSnapshot:
    """`by_namespace` may lack what Ingresses stand for."""
    before, configs = snapshot.ingress, snapshot.configs
    ingresses, classes = configs.get("Ingress", {}), configs.get("IngressClass", {})
    after = of_ingresses(ingresses, classes, configs.get("Service", {}), snapshot.mesh_config, before)
    spaces: Spaces = snapshot.by_namespace.get("VirtualService", {})
    joined = joined_routes(spaces, before, after)
    if joined is spaces and after is before:
        return snapshot
    return replace(snapshot, ingress=after, by_namespace={**snapshot.by_namespace, "VirtualService": joined})
