"""Ports of Services whose names say no protocol."""

from collections.abc import Iterator

from meshcore.protocol import Protocol, select_protocol

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import SERVICE
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import EXTERNAL_NAME_PORT, PORT_NAME
from galley.core.analysis.reading import at, mappings, number, text
from galley.core.analysis.workloads import MANAGED_GATEWAY, is_control_plane

_CONTROLLERS = frozenset({"istio.io-gateway-controller", "istio.io-mesh-controller", "istio.io-eastwest-controller"})
_SAY_IT = Fix(
    "Set the port's appProtocol, or begin its name with a protocol (http, http2, grpc, https, tls, tcp, ...)."
)


def check_port_names(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Ports of which Istio must guess the protocol; for ExternalName, also those that are called tcp."""
    for service in inputs.of(SERVICE):
        if is_control_plane(service) or service.labels.get(MANAGED_GATEWAY) in _CONTROLLERS:
            continue
        external = text(service.spec, "type") == "ExternalName"
        for index, port in mappings(service.spec, "ports"):
            name, port_number = text(port, "name"), number(port, "port")
            said = text(port, "appProtocol") if "appProtocol" in port else None
            protocol = select_protocol(name, port_number, said, text(port, "protocol"))
            if protocol is not Protocol.AUTO and not (external and name == "tcp"):
                continue
            line = service.line_of(f"spec.ports[{index}].port")
            target = at(port, "targetPort")
            parameters = (name, port_number, 0 if target is None else target)
            if external:
                yield Message(EXTERNAL_NAME_PORT, service, (), line, _SAY_IT)
            else:
                yield Message(PORT_NAME, service, parameters, line, _SAY_IT)
