"""ServiceEntries that take more traffic than they mean to, or contradict each other."""

from collections.abc import Iterator

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix, add
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import SERVICE_ENTRY
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import ADDRESSES_REQUIRED, CONFLICTING_ENTRY_PROTOCOLS
from galley.core.analysis.reading import items, mappings, number, string_map, text, texts
from galley.core.analysis.resource import Resource
from galley.core.analysis.service_hosts import ALL_NAMESPACES, export_scopes

_DECLARABLE = ("https", "tls", "http", "http2", "grpc", "mongo", "redis", "mysql")


def check_addresses(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """TCP ports without an address: they catch everything on their number."""
    if _allocates(inputs):
        return
    for entry in inputs.of(SERVICE_ENTRY):
        if items(entry.spec, "addresses") or items(entry.body, "status", "addresses"):
            continue
        for index, port in mappings(entry.spec, "ports"):
            if text(port, "protocol").upper() in ("", "TCP"):
                line = entry.line_of(f"spec.ports[{index}].name")
                name = text(port, "name").partition("-")[0].lower()
                yield Message(ADDRESSES_REQUIRED, entry, (), line, _declare(index, text(port, "protocol"), name))


def _allocates(inputs: Inputs) -> bool:
    """Whether proxies give addresses to entries without one."""
    metadata = string_map(inputs.mesh_config, "defaultConfig", "proxyMetadata")
    captured = metadata.get("ISTIO_META_DNS_CAPTURE") == "true"
    asked = (metadata.get(key) for key in ("ISTIO_META_DNS_AUTO_ALLOCATE", "PILOT_ENABLE_IP_AUTOALLOCATE"))
    return captured and "true" in asked


def _declare(index: int, protocol: str, said_by_name: str) -> Fix:
    if not protocol and said_by_name in _DECLARABLE:
        patch = (add(said_by_name.upper(), "spec", "ports", index, "protocol"),)
        return Fix("Declare the protocol that the port's name says, or give addresses.", patch)
    return Fix("Give the service's addresses, or declare a protocol that tells services apart (HTTP, TLS, ...).")


def check_protocols(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Entries that declare one host and port with different protocols where somebody sees both."""
    found: dict[tuple[str, str, int], list[tuple[str, Resource]]] = {}
    for entry in inputs.of(SERVICE_ENTRY):
        for scope in export_scopes(texts(entry.spec, "exportTo"), entry.namespace):
            for host in texts(entry.spec, "hosts"):
                for _index, port in mappings(entry.spec, "ports"):
                    key = (scope, host, number(port, "number"))
                    found.setdefault(key, []).append((text(port, "protocol").upper(), entry))
    reported: set[Resource] = set()
    for (scope, host, port_number), own in found.items():
        entries = own if scope == ALL_NAMESPACES else [*own, *found.get((ALL_NAMESPACES, host, port_number), ())]
        protocols = sorted({protocol for protocol, _ in entries})
        if len(protocols) < 2:
            continue
        names = ", ".join(sorted({entry.full_name for _, entry in entries}))
        for _protocol, entry in entries:
            if entry not in reported:
                reported.add(entry)
                parameters = (names, host, port_number, ", ".join(protocols))
                fix = Fix("Declare the same protocol in all of them.")
                yield Message(CONFLICTING_ENTRY_PROTOCOLS, entry, parameters, entry.line_of("metadata.name"), fix)
