"""Kinds and fields that are deprecated or gone."""

from collections.abc import Iterator

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix, Operation, add, remove
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import CUSTOM_RESOURCE_DEFINITION, SIDECAR, VIRTUAL_SERVICE
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import DEPRECATED
from galley.core.analysis.reading import at, mapping, mappings, number, text
from galley.core.analysis.resource import Resource

_GONE_GROUP = "rbac.istio.io"
_GONE_KINDS = frozenset({"ClusterRbacConfig", "RbacConfig", "ServiceRole", "ServiceRoleBinding"})


def check_deprecated(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Deprecated fields of VirtualService and Sidecar, and the definitions of kinds that are gone."""
    for service in inputs.of(VIRTUAL_SERVICE):
        yield from _delay_percent(service)
    for sidecar in inputs.of(SIDECAR):
        if at(sidecar.spec, "outboundTrafficPolicy", "egressProxy") is not None:
            line = sidecar.line_of("spec.outboundTrafficPolicy.egressProxy")
            fix = Fix("Remove the field.", (remove("spec", "outboundTrafficPolicy", "egressProxy"),))
            yield Message(DEPRECATED, sidecar, ("OutboundTrafficPolicy.EgressProxy is ignored",), line, fix)
    for definition in inputs.of(CUSTOM_RESOURCE_DEFINITION):
        group, kind = text(definition.spec, "group"), text(definition.spec, "names", "kind")
        if group == _GONE_GROUP and kind in _GONE_KINDS:
            fix = Fix("Delete the definition; use AuthorizationPolicy of security.istio.io.")
            yield Message(DEPRECATED, definition, (f"custom resource type {group} {kind} is removed",), 0, fix)


def _delay_percent(service: Resource) -> Iterator[Message]:
    """One message for all rules of a VirtualService, with one patch."""
    found = [
        (index, delay)
        for index, route in mappings(service.spec, "http")
        if number(delay := mapping(route, "fault", "delay"), "percent") > 0
    ]
    if not found:
        return
    patch: list[Operation] = []
    for index, delay in found:
        place = ("spec", "http", index, "fault", "delay")
        patch += [remove(*place, "percent"), add({"value": number(delay, "percent")}, *place, "percentage")]
    words = "HTTPRoute.fault.delay.percent is deprecated; use HTTPRoute.fault.delay.percentage"
    line = service.line_of(f"spec.http[{found[0][0]}].fault.delay.percent")
    yield Message(DEPRECATED, service, (words,), line, Fix("Use percentage.", tuple(patch)))
