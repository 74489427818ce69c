"""Which services there are for config of a namespace: Services and ServiceEntries with their visibility."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from galley.core.analysis.fix import KnownNames
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import SERVICE, SERVICE_ENTRY
from galley.core.analysis.reading import mappings, number, string_map, texts
from galley.core.analysis.resource import Resource

ALL_NAMESPACES = "*"
OWN_NAMESPACE = "."
_EXPORT_TO = "networking.istio.io/exportTo"
_DOMAIN = "svc.cluster.local"


@dataclass(frozen=True, slots=True)
class KnownService:
    """One host: its ports and, for a ServiceEntry, how it selects its workloads and which endpoints it lists."""

    host: str
    ports: tuple[int, ...]
    workload_selector: Mapping[str, str] = field(default_factory=dict)
    endpoint_labels: tuple[Mapping[str, str], ...] = ()


def fqdn(host: str, namespace: str) -> str:
    """A short name as the service of that namespace; everything else as it is."""
    return host if host.startswith("*") or "." in host else f"{host}.{namespace}.{_DOMAIN}"


def service_name(host: str, namespace: str) -> tuple[str, str]:
    """(namespace, name) that a host stands for: that of a Service's full name, else the host as it is."""
    if host.endswith(f".{_DOMAIN}"):
        name, _, home = host.removesuffix(f".{_DOMAIN}").rpartition(".")
        if name and home:
            return home, name
    return namespace, host


def exports_to_all(export_to: Iterable[str]) -> bool:
    """Whether every namespace sees it: says so, or says nothing."""
    said = tuple(export_to)
    return not said or ALL_NAMESPACES in said


def export_scopes(export_to: Iterable[str], namespace: str) -> tuple[str, ...]:
    """The namespaces that see it, each once; `*` for all."""
    said = tuple(export_to)
    if exports_to_all(said):
        return (ALL_NAMESPACES,)
    return tuple(dict.fromkeys(namespace if scope == OWN_NAMESPACE else scope for scope in said))


class ServiceHosts:
    """Every host that some namespace sees."""

    def __init__(self, inputs: Inputs) -> None:
        self._exact: dict[tuple[str, str], KnownService] = {}
        self._visible: dict[str, KnownNames] = {}
        for entry in inputs.of(SERVICE_ENTRY):
            self._add_entry(entry)
        for service in inputs.of(SERVICE):
            self._add_service(service)
        self._wildcards = [
            (scope, host[1:], known) for (scope, host), known in self._exact.items() if host.startswith("*")
        ]

    def _add_entry(self, entry: Resource) -> None:
        ports = tuple(number(port, "number") for _, port in mappings(entry.spec, "ports"))
        selector = string_map(entry.spec, "workloadSelector", "labels")
        endpoints = tuple(string_map(endpoint, "labels") for _, endpoint in mappings(entry.spec, "endpoints"))
        scopes = export_scopes(texts(entry.spec, "exportTo"), entry.namespace)
        for host in texts(entry.spec, "hosts"):
            full = fqdn(host, entry.namespace)
            for scope in scopes:
                self._exact[scope, full] = KnownService(full, ports, selector, endpoints)

    def _add_service(self, service: Resource) -> None:
        full = fqdn(service.name, service.namespace)
        known = KnownService(full, tuple(number(port, "port") for _, port in mappings(service.spec, "ports")))
        said = service.annotations.get(_EXPORT_TO, "")
        scopes = [scope.strip() for scope in said.split(",")] if said else [ALL_NAMESPACES]
        for scope in scopes:
            self._exact[service.namespace if scope == OWN_NAMESPACE else scope, full] = known

    def find(self, host: str, namespace: str, export_to: Iterable[str]) -> KnownService | None:
        """The service that config of a namespace, visible as `export_to` says, means by a host."""
        full = fqdn(host, namespace)
        said = tuple(export_to)
        scopes = [namespace if scope == OWN_NAMESPACE else scope for scope in said] if said else [namespace]
        for scope in (ALL_NAMESPACES, *scopes):
            if (scope, full) in self._exact:
                return self._exact[scope, full]
        suffix = host.removeprefix("*")
        for scope, ending, known in self._wildcards:
            if scope in (ALL_NAMESPACES, namespace) and suffix.endswith(ending):
                return known
        return None

    def visible(self, namespace: str) -> KnownNames:
        """The hosts that a namespace sees, to guess what a mistyped one means."""
        if namespace not in self._visible:
            self._visible[namespace] = KnownNames(self._names(namespace))
        return self._visible[namespace]

    def _names(self, namespace: str) -> Iterator[str]:
        for scope, host in self._exact:
            if scope in (ALL_NAMESPACES, namespace):
                yield host
                name = host.removesuffix(f".{namespace}.{_DOMAIN}")
                if name != host:
                    yield name
