"""An endpoint: where one port of one service can be reached, and what is known about the workload there. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from meshcore.xds.origin import ConfigRef

from pilot.core.ip_families import IpFamilies

TLS_MODE_LABEL = "security.istio.io/tlsMode"
ISTIO_TLS = "istio"
DISABLED_TLS = "disabled"
HOST_LABEL = "kubernetes.io/hostname"
REGION_LABEL, ZONE_LABEL = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"
SUBZONE_LABEL = "topology.istio.io/subzone"
NETWORK_LABEL = "topology.istio.io/network"
CLUSTER_LABEL = "topology.istio.io/cluster"
PLACE_LABELS = frozenset({HOST_LABEL, REGION_LABEL, ZONE_LABEL, SUBZONE_LABEL, NETWORK_LABEL, CLUSTER_LABEL})


class Locality(NamedTuple):
    """Where a workload runs, from the largest area to the smallest."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""

    @classmethod
    def parse(cls, text: str) -> "Locality":
        """Read `region/zone/subzone`; missing parts are empty."""
        parts = [*text.split("/"), "", "", ""]
        return cls(parts[0], parts[1], parts[2])


NOWHERE = Locality()
"""An unknown place."""


class ShardKey(NamedTuple):
    """Who reported endpoints."""

    provider: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and port of one service port.

    `port_name` is the service port's name. `tls_mode` is `istio` when the workload accepts mesh mTLS. `weight` is
    relative to the other endpoints. `cluster` is the Kubernetes cluster (or site) that it belongs to.
    """

    address: str
    port: int
    port_name: str
    namespace: str
    labels: Mapping[str, str]
    locality: Locality = NOWHERE
    service_account: str = ""
    tls_mode: str = DISABLED_TLS
    healthy: bool = True
    network: str = ""
    weight: int = 1
    workload: str = ""
    cluster: str = ""
    node: str = ""
    """The Kubernetes node that it runs on."""
    hostname: str = ""
    """Its own name below the service's, as stateful pods have one."""
    draining: bool = False
    """Whether it ends, and takes what belongs to it until then; it is not healthy."""
    more_addresses: tuple[str, ...] = ()
    """The same workload in the other family."""
    source: ConfigRef | None = field(default=None, compare=False)
    """The object that describes it, where that is not the service's own."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of them, the first one first."""
        return self.address, *self.more_addresses

    def reached_by(self, families: IpFamilies) -> tuple[str, ...]:
        """Its addresses for a caller with addresses of these families: the ones of those, or else all (names too)."""
        return tuple(filter(families.include, self.addresses)) or self.addresses

    @property
    def sort_key(self) -> tuple[str, int, str, str]:
        """A total order that does not depend on the order of arrival."""
        return self.address, self.port, self.workload, self.namespace

    @property
    def placed_labels(self) -> Mapping[str, str]:
        """Its labels and, under Kubernetes' and Istio's names, where it is: what subsets and failover look at."""
        return {**topology_labels(self.locality, self.network, self.cluster, self.node), **self.labels}


def topology_labels(locality: Locality, network: str, cluster: str, node: str) -> dict[str, str]:
    """A place as labels; what is not known has none."""
    found = {
        REGION_LABEL: locality.region,
        ZONE_LABEL: locality.zone,
        SUBZONE_LABEL: locality.sub_zone,
        NETWORK_LABEL: network,
        CLUSTER_LABEL: cluster,
        HOST_LABEL: node,
    }
    return {key: text for key, text in found.items() if text}


def tls_mode_of(labels: Mapping[str, str], service_account: str) -> str:
    """The label decides; without it a workload with an identity accepts mesh mTLS."""
    return labels.get(TLS_MODE_LABEL) or (ISTIO_TLS if service_account else DISABLED_TLS)
