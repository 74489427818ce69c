"""From one proxy to the next: who has an address, and what is spoken on the way there, for the simulator."""

from dataclasses import dataclass
from typing import Any

from meshcore.xds import registry
from pilot.core.simulation import ISTIO


@dataclass(frozen=True)
class Place:
    """A workload of the mesh, as an address of it is found: its Envoy's, or its application's."""

    name: str
    identity: str
    is_application: bool = False
    is_gateway: bool = False
    ports: frozenset[int] = frozenset()
    """Those at which an application listens."""


@dataclass(frozen=True)
class Hop:
    """Where the connection goes, and the server name and the protocols of its TLS."""

    address: str
    port: int
    sni: str
    alpn: tuple[str, ...] = ()


def hello(cluster: Any, host: Any) -> tuple[str, tuple[str, ...]]:
    """Server name and protocols of the TLS to an endpoint; nothing in plaintext."""
    found = next((item for item in cluster.transport_socket_matches if _chosen(item, host)), None)
    socket = found.transport_socket if found is not None else cluster.transport_socket
    if not socket.name.endswith("tls"):
        return "", ()
    context: Any = registry.unpack(socket.typed_config)
    return str(context.sni), tuple(context.common_tls_context.alpn_protocols)


def _chosen(item: Any, host: Any) -> bool:
    mode = host.metadata.filter_metadata["envoy.transport_socket_match"].fields["tlsMode"].string_value
    return all(mode == value.string_value for value in item.match.fields.values())


def is_mutual(cluster: Any, host: Any) -> bool:
    for item in cluster.transport_socket_matches:
        if _chosen(item, host):
            return bool(item.name == "tlsMode-istio")
    socket = cluster.transport_socket
    if not socket.name.endswith("tls"):
        return False
    unpacked: Any = registry.unpack(socket.typed_config)
    context = unpacked.common_tls_context
    return any(secret.name == "default" for secret in context.tls_certificate_sds_secret_configs) and bool(
        set(context.alpn_protocols) & {*ISTIO}
    )
