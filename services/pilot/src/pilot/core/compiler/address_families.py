"""Which addresses a proxy binds, calls from and looks up, by the families that it has. Pure.

As Istio: with addresses of both families a proxy uses both where the mesh is dual-stack, else IPv4 first. A mesh says
so in `defaultConfig.proxyMetadata` (`ISTIO_DUAL_STACK: "true"`), as Istio's installation does for its proxies.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from meshcore.model.mesh_config import MeshConfig

from pilot.core.compiler.istiod_switches import is_switched_on
from pilot.core.compiler.messages import socket_address
from pilot.core.ip_families import IpFamilies
from pilot.core.registry import Endpoint

DUAL_STACK = "ISTIO_DUAL_STACK"
ANYWHERE = frozenset({"", "0.0.0.0", "::"})
"""What stands for every address of the workload."""
Addresses = tuple[str, ...]
_PAIRS: dict[str, Addresses] = {
    "wildcard": ("0.0.0.0", "::"),
    "loopback": ("127.0.0.1", "::1"),
    "loop source": ("127.0.0.6", "::6"),
}


class Families(NamedTuple):
    """Hashable, so it is part of keys of memos. Tuples of addresses have the main one first."""

    own: IpFamilies = IpFamilies.V4
    dual_stack: bool = False

    @property
    def wildcards(self) -> Addresses:
        """Every address of the workload."""
        return self._of("wildcard")

    @property
    def loopbacks(self) -> Addresses:
        """The workload itself."""
        return self._of("loopback")

    @property
    def loop_sources(self) -> Addresses:
        """Sources of connections from the proxy to its own application, so that they are not captured again."""
        return self._of("loop source")

    @property
    def all_loop_sources(self) -> Addresses:
        """The same for destinations of either family, whatever the mesh."""
        return Families(self.own, dual_stack=True).loop_sources

    @property
    def both(self) -> bool:
        """Whether both count."""
        return self.own is IpFamilies.BOTH and self.dual_stack

    @property
    def lookup(self) -> Any:
        """What names are looked up for; with both Envoy tries all addresses (happy eyeballs)."""
        if self.both:
            return cluster_pb2.Cluster.ALL
        return cluster_pb2.Cluster.V6_ONLY if self.own is IpFamilies.V6 else cluster_pb2.Cluster.V4_ONLY

    def _of(self, kind: str) -> Addresses:
        if self.both:
            return _PAIRS[kind]
        return _PAIRS[kind][1:] if self.own is IpFamilies.V6 else _PAIRS[kind][:1]

    def used(self, addresses: Addresses) -> Addresses:
        """Of a service's or workload's addresses, first the main one: without dual stack nothing else."""
        return addresses if self.both else addresses[:1]

    def reachable(self, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Endpoints with an address of the proxy's families; all of them while there is none."""
        if self.own is IpFamilies.BOTH:
            return endpoints
        return [item for item in endpoints if any(map(self.own.include, item.addresses))] or endpoints


ONE_FAMILY = Families()
"""IPv4 only."""


def is_dual_stack(mesh: MeshConfig) -> bool:
    """Whether proxies with both families use both."""
    return is_switched_on(mesh, DUAL_STACK)


def listen_on(listener: listener_pb2.Listener, addresses: Addresses, port: int) -> None:
    """Bind the first address, and the others beside it."""
    listener.address.CopyFrom(socket_address(addresses[0], port))
    del listener.additional_addresses[:]
    for address in addresses[1:]:
        listener.additional_addresses.add(address=socket_address(address, port))
