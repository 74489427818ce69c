"""Destinations of VirtualServices: hosts, ports and subsets that there must be."""

from collections.abc import Iterator

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.analyzers.virtual_service_routes import RouteDestination, destinations
from galley.core.analysis.fix import Fix, KnownNames, put_entry, replace, use_instead
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import DESTINATION_RULE, VIRTUAL_SERVICE
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import INGRESS_RULES_NOT_USED, NOT_FOUND, PORT_REQUIRED
from galley.core.analysis.reading import items, mapping, mappings, number, text, texts
from galley.core.analysis.resource import Resource
from galley.core.analysis.service_hosts import KnownService, ServiceHosts, service_name


def check_hosts(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Hosts that nobody knows, ports that the service has not, and ports that must be said."""
    hosts = ServiceHosts(inputs)
    by_subset = _routes_by_subset(inputs)
    for service in inputs.of(VIRTUAL_SERVICE):
        export_to = texts(service.spec, "exportTo")
        for found in destinations(service.spec):
            known = hosts.find(found.host, service.namespace, export_to)
            if known is None:
                words = "mirror host" if found.is_mirror else "host"
                fix = use_instead(found.host, hosts.visible(service.namespace), *found.place, "host")
                yield Message(NOT_FOUND, service, (words, found.host), service.line_of(found.host_path), fix)
            else:
                yield from _check_port(service, found, known)
        yield from _check_ingress(service, by_subset)


def _check_port(service: Resource, found: RouteDestination, known: KnownService) -> Iterator[Message]:
    if found.destination.get("port") is None:
        if len(known.ports) > 1:
            patch = put_entry(service.body, "port", {"number": known.ports[0]}, *found.place)
            fix = Fix(f"Say which of {_listed(known)} is meant; the patch takes the first.", patch)
            line = service.line_of(found.host_path)
            yield Message(PORT_REQUIRED, service, (found.host, known.ports), line, fix)
        return
    port = number(mapping(found.destination, "port"), "number")
    if port not in known.ports:
        parameters = ("host:port", f"{found.host}:{port}")
        yield Message(NOT_FOUND, service, parameters, service.line_of(found.host_path), _port_fix(found, known))


def _port_fix(found: RouteDestination, known: KnownService) -> Fix | None:
    if len(known.ports) == 1:
        patch = (replace(known.ports[0], *found.place, "port", "number"),)
        return Fix(f"The service has only port {known.ports[0]}.", patch)
    return Fix(f"Use a port of the service: {_listed(known)}.") if known.ports else None


def _listed(known: KnownService) -> str:
    return ", ".join(map(str, known.ports))


def _routes_by_subset(inputs: Inputs) -> dict[str, list[str]]:
    """For each host: the VirtualServices for that very host that route to subsets of it."""
    found: dict[str, list[str]] = {}
    for service in inputs.of(VIRTUAL_SERVICE):
        own = set(texts(service.spec, "hosts"))
        for _, rule in mappings(service.spec, "http"):
            for _at, route in mappings(rule, "route"):
                host = text(route, "destination", "host")
                if text(route, "destination", "subset") and host in own:
                    names = found.setdefault(host, [])
                    if service.full_name not in names:
                        names.append(service.full_name)
    return found


def _check_ingress(service: Resource, by_subset: dict[str, list[str]]) -> Iterator[Message]:
    """What comes through a gateway is routed by the gateway's VirtualService alone."""
    if not items(service.spec, "gateways"):
        return
    reported: set[str] = set()
    for index, rule in mappings(service.spec, "http"):
        for at, route in mappings(rule, "route"):
            host = text(route, "destination", "host")
            if text(route, "destination", "subset"):
                continue
            for other in by_subset.get(host, ()):
                if other not in reported:
                    reported.add(other)
                    line = service.line_of(f"spec.http[{index}].route[{at}].destination.host")
                    fix = Fix(f"Route to the subsets here too, as {other} does.")
                    yield Message(INGRESS_RULES_NOT_USED, service, (other, service.full_name), line, fix)


def check_subsets(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Subsets that no DestinationRule of the host defines."""
    subsets: dict[tuple[str, str], set[str]] = {}
    for rule in inputs.of(DESTINATION_RULE):
        names = subsets.setdefault(service_name(_host(rule), rule.namespace), set())
        names.update(text(subset, "name") for _, subset in mappings(rule.spec, "subsets"))
    for service in inputs.of(VIRTUAL_SERVICE):
        for found in destinations(service.spec):
            defined = subsets.get(service_name(found.host, service.namespace), set())
            if not found.subset or found.subset in defined:
                continue
            words = f"{'mirror' if found.is_mirror else 'host'}+subset in destinationrule"
            parameters = (words, f"{found.host}+{found.subset}")
            yield Message(NOT_FOUND, service, parameters, service.line_of(found.host_path), _subset_fix(found, defined))


def _host(rule: Resource) -> str:
    return text(rule.spec, "host")


def _subset_fix(found: RouteDestination, defined: set[str]) -> Fix:
    meant = KnownNames(defined).closest(found.subset)
    if meant is not None:
        return Fix(f"Did you mean {meant!r}?", (replace(meant, *found.place, "subset"),))
    known = f" (it has {', '.join(sorted(defined))})" if defined else ""
    return Fix(f"Define the subset in a DestinationRule of the host{known}.")
