"""Where a route's destination leads: the cluster, and the rule that counts for it. Pure."""

from dataclasses import dataclass

from meshcore.hosts import resolve_short_host
from meshcore.model.destination_rule import ConsistentHash
from meshcore.model.virtual_service import Destination, VirtualService
from meshcore.xds.names import outbound_cluster

from pilot.core.compiler.context import Compilation, service_port
from pilot.core.compiler.dynamic_dns import is_dynamic
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic, Severity
from pilot.core.registry import Resolution, Service
from pilot.core.visibility.destination_rules import NO_RULE, ServiceRule


@dataclass(frozen=True)
class Resolved:
    """A destination's host in this scope; `service` None when it is not there."""

    host: str
    service: Service | None
    rule: ServiceRule


def resolve(work: Compilation, destination: Destination, namespace: str) -> Resolved:
    """Look the host up, short names in the namespace of the config."""
    host = resolve_short_host(destination.host.lower(), namespace, work.proxy_class.domain)
    service = work.scope.by_host.get(host)
    return Resolved(host, service, work.rule(service) if service else NO_RULE)


@dataclass(frozen=True)
class Chosen:
    """The cluster of a destination, how its requests are hashed, and what is wrong with it."""

    cluster: str
    consistent_hash: ConsistentHash | None = None
    problem: Diagnostic | None = None


def choose(found: Resolved, destination: Destination, listen_port: int, owner: Config[VirtualService]) -> Chosen:
    """Port: the one named, the service's only one, or the one that was dialled.

    A host or subset that does not exist keeps its name: Envoy answers 503 for a cluster that it does not know, as with
    Istio.
    """
    wanted = destination.port.number if destination.port else 0
    number = wanted or listen_port
    if found.service is not None and (port := service_port(found.service, wanted, listen_port)) is not None:
        number = port.number
    name = outbound_cluster(number, destination.subset, found.host)
    settings = found.rule.policy_of(number, destination.subset).load_balancer
    return Chosen(name, settings.consistent_hash if settings else None, _problem(found, destination, number, owner))


def _problem(
    found: Resolved, destination: Destination, number: int, owner: Config[VirtualService]
) -> Diagnostic | None:
    if found.service is None:
        text = f"Host {found.host} is not known here: requests to it are answered with 503."
        return Diagnostic("unknown-host", owner.path, text, Severity.ERROR)
    port = found.service.port(number)
    if found.service.resolution is Resolution.DYNAMIC_DNS and (port is None or not is_dynamic(found.service, port)):
        text = f"Port {number} of {found.host} is neither HTTP nor TLS: nothing names the host to look up, so 503."
        return Diagnostic("unsupported-resolution", owner.path, text, Severity.ERROR)
    if port is None:
        text = f"Host {found.host} has no port {number}: requests to it are answered with 503."
        return Diagnostic("unknown-port", owner.path, text, Severity.ERROR)
    if destination.subset and found.rule.subset(destination.subset) is None:
        text = f"Host {found.host} has no subset {destination.subset!r}: requests to it are answered with 503."
        return Diagnostic("unknown-subset", owner.path, text, Severity.ERROR)
    return None
