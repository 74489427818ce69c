"""A ServiceEntry's ports in full. Its hosts stay as they are: they are names of their own, not of Services."""

from meshcore.model.service_entry import ServiceEntry

from galley.core.kind_rules import Naming


def normalize(entry: ServiceEntry, _: Naming) -> ServiceEntry:
    """Every port says its target."""
    ports = tuple(
        port if port.target_port else port.model_copy(update={"target_port": port.number}) for port in entry.spec.ports
    )
    return entry.model_copy(update={"spec": entry.spec.model_copy(update={"ports": ports})})
