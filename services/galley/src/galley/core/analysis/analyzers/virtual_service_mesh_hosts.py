"""VirtualServices of the mesh that claim the same host for the same callers."""

from collections.abc import Iterator

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.analyzers.virtual_service_gateways import MESH
from galley.core.analysis.fix import Fix
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import VIRTUAL_SERVICE
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import CONFLICTING_MESH_HOSTS
from galley.core.analysis.reading import texts
from galley.core.analysis.resource import Resource
from galley.core.analysis.service_hosts import ALL_NAMESPACES, export_scopes, fqdn

ScopedHosts = dict[tuple[str, str], list[Resource]]


def check_mesh_hosts(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Hosts that several VirtualServices have in one scope, or one in a namespace and another for all."""
    claims: ScopedHosts = {}
    for service in inputs.of(VIRTUAL_SERVICE):
        gateways = texts(service.spec, "gateways")
        if gateways and MESH not in gateways:
            continue
        for scope in export_scopes(texts(service.spec, "exportTo"), service.namespace):
            for host in texts(service.spec, "hosts"):
                claims.setdefault((scope, fqdn(host, service.namespace)), []).append(service)
    everywhere = _Everywhere(claims)
    reported: set[Resource] = set()
    for (scope, host), own in claims.items():
        claimants = own if scope == ALL_NAMESPACES else [*own, *everywhere.matching(host)]
        if len(claimants) < 2:
            continue
        names = ",".join(sorted(claimant.full_name for claimant in claimants))
        for claimant in claimants:
            if claimant not in reported:
                reported.add(claimant)
                fix = Fix("Merge them into one VirtualService, or narrow what they are exported to.")
                line = claimant.line_of("metadata.name")
                yield Message(CONFLICTING_MESH_HOSTS, claimant, (names, f"{scope}/{host}"), line, fix)


class _Everywhere:
    """The hosts that are claimed for all namespaces, exact names and wildcards apart."""

    def __init__(self, claims: ScopedHosts) -> None:
        self._exact = {host: own for (scope, host), own in claims.items() if scope == ALL_NAMESPACES}
        self._wildcards = {host: own for host, own in self._exact.items() if host.startswith("*")}

    def matching(self, host: str) -> Iterator[Resource]:
        """Who claims a host that overlaps with this one."""
        if not host.startswith("*"):
            yield from self._exact.get(host, ())
            others = self._wildcards
        else:
            others = self._exact
        for other, claimants in others.items():
            if _overlap(host, other):
                yield from claimants


def _overlap(one: str, other: str) -> bool:
    """Whether some name is covered by both; at least one of them is a wildcard."""
    if one.startswith("*") and other.startswith("*"):
        return one[1:].endswith(other[1:]) or other[1:].endswith(one[1:])
    return other.endswith(one[1:]) if one.startswith("*") else one.endswith(other[1:])
