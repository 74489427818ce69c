"""Which resources of a dump `proxy-config` shows: istioctl's flags. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from meshcore.errors import MeshError
from meshcore.xds.names import ClusterName, parse_cluster_name

Resource = Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What was asked for; what is empty asks for nothing."""

    fqdn: str = ""
    port: int = 0
    direction: str = ""
    subset: str = ""
    name: str = ""
    address: str = ""
    type: str = ""
    status: str = ""
    cluster: str = ""

    def clusters(self, found: Iterable[Resource]) -> list[Resource]:
        """By host, port, subset and direction of the name; clusters of other names only when none of them is asked."""
        asked = any((self.fqdn, self.port, self.direction, self.subset))
        return [item for item in found if self._is_named(item) and (not asked or self._parts_match(item))]

    def _parts_match(self, item: Resource) -> bool:
        parsed = cluster_parts(str(item.get("name", "")))
        return (
            parsed is not None
            and self.fqdn.lower() in ("", parsed.host)
            and self.port in (0, parsed.port)
            and self.direction in ("", str(parsed.direction))
            and self.subset in ("", parsed.subset)
        )

    def listeners(self, found: Iterable[Resource]) -> list[Resource]:
        """By address and port of the socket, and by what the chains read: HTTP, TCP or HTTP+TCP."""
        return [
            item
            for item in found
            if self._is_named(item)
            and self.address in ("", str(_socket(item).get("address", "")))
            and self.port in (0, _socket(item).get("port_value"))
            and self.type.upper() in ("", listener_type(item))
        ]

    def routes(self, found: Iterable[Resource]) -> list[Resource]:
        """By the name of the route configuration."""
        return [item for item in found if self._is_named(item)]

    def hosts(self, statuses: Mapping[str, Any]) -> dict[str, Any]:
        """`/clusters?format=json` with the endpoints of that cluster, address, port and health."""
        kept = []
        for cluster in statuses.get("cluster_statuses", ()):
            if self.cluster not in ("", str(cluster.get("name", ""))):
                continue
            hosts = [host for host in cluster.get("host_statuses", ()) if self._host_matches(host)]
            if hosts:
                kept.append({**cluster, "host_statuses": hosts})
        return {"cluster_statuses": kept}

    def _host_matches(self, host: Resource) -> bool:
        place = host.get("address", {}).get("socket_address", {})
        status = str(host.get("health_status", {}).get("eds_health_status", "HEALTHY"))
        return (
            self.address in ("", str(place.get("address", "")))
            and self.port in (0, place.get("port_value"))
            and self.status.upper() in ("", status)
        )

    def _is_named(self, item: Resource) -> bool:
        return self.name in ("", str(item.get("name", "")))


def cluster_parts(name: str) -> ClusterName | None:
    """The parts of a cluster's name; None for one of another form."""
    try:
        return parse_cluster_name(name)
    except MeshError:
        return None


def listener_type(listener: Resource) -> str:
    """HTTP, TCP, HTTP+TCP, or UNKNOWN for a listener without either."""
    chains = [*listener.get("filter_chains", ())]
    if listener.get("default_filter_chain"):
        chains.append(listener["default_filter_chain"])
    names = {str(item.get("name", "")) for chain in chains for item in chain.get("filters", ())}
    is_http = any(name.endswith("http_connection_manager") for name in names)
    is_tcp = any(name.endswith("tcp_proxy") for name in names)
    return "+".join(word for word, there in (("HTTP", is_http), ("TCP", is_tcp)) if there) or "UNKNOWN"


def _socket(listener: Resource) -> Mapping[str, Any]:
    found: Mapping[str, Any] = listener.get("address", {}).get("socket_address", {})
    return found
