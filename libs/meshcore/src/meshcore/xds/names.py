"""Names of Envoy resources, exactly as Istio's. Built and parsed here and nowhere else."""

from dataclasses import dataclass
from enum import StrEnum

from meshcore.errors import ErrorCode, MeshError

PASSTHROUGH_CLUSTER = "PassthroughCluster"
BLACK_HOLE_CLUSTER = "BlackHoleCluster"
ALLOW_ANY_DYNAMIC_DNS_CLUSTER = "AllowAnyDynamicDNSCluster"
INBOUND_PASSTHROUGH_CLUSTER = "InboundPassthroughCluster"
SDS_CLUSTER = "sds-grpc"
FILES_SDS_CLUSTER = "sds-files-grpc"
FILES_APART_METADATA = "file-credential"
"""Where the node's metadata says that files are secrets of the second cluster, because the first is somebody else's."""
XDS_CLUSTER = "xds-grpc"
AGENT_CLUSTER = "agent"
ACCESS_LOG_CLUSTER = "envoy_accesslog_service"
"""Where a proxy's own ProxyConfig has its access log sent; it is part of the bootstrap."""
AUDIT_CLUSTER = "agent-audit"
AUDIT_METADATA = "MESHCORE_AUDIT"
"""Key of the node's metadata: `true` where the bootstrap has the cluster that takes access records."""
EXTENSIONS_CLUSTER = "agent-extensions"
EXTENSIONS_METADATA = "MESHCORE_EXTENSIONS"
"""Key of the node's metadata: `true` where the bootstrap has the cluster with extensions that the agent fetches."""
VIRTUAL_INBOUND = "virtualInbound"
VIRTUAL_OUTBOUND = "virtualOutbound"
HTTP_PROXY_ROUTE = "http_proxy"
WORKLOAD_CERTIFICATE = "default"
ROOT_CERTIFICATE = "ROOTCA"
BOOTSTRAP_PATCH = "bootstrap"
"""What an agent asks for before its Envoy starts: a bootstrap to be merged into its own."""
CERTIFICATE_PROVIDER = "default"
"""The instance in the bootstrap of a gRPC library that has the workload's certificate and roots."""
GRPC_INBOUND_TEMPLATE = "xds.istio.io/grpc/lds/inbound/%s"
"""The listener of a gRPC server without a proxy: `%s` is the address that it serves on."""


class Direction(StrEnum):
    """Which way a cluster's traffic goes, seen from the proxy."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


@dataclass(frozen=True, slots=True)
class ClusterName:
    """The parts of `outbound|<port>|<subset>|<host>` and `inbound|<port>||`."""

    direction: Direction
    port: int
    subset: str
    host: str

    def __str__(self) -> str:
        return f"{self.direction}|{self.port}|{self.subset}|{self.host}"


def outbound_cluster(port: int, subset: str, host: str) -> str:
    """The cluster of a service's port, or of one subset of it."""
    return f"outbound|{port}|{subset}|{host}"


def inbound_cluster(port: int) -> str:
    """The cluster of the application beside the proxy; `port` is the target port."""
    return f"inbound|{port}||"


def parse_cluster_name(name: str) -> ClusterName:
    """Read a service's cluster name; INVALID for the catch-all clusters and for foreign names."""
    parts = name.split("|")
    if len(parts) != 4 or parts[0] not in ("outbound", "inbound") or not parts[1].isdigit():
        raise MeshError(
            ErrorCode.INVALID, f"{name!r} is not a cluster name of the form outbound|<port>|<subset>|<host>"
        )
    return ClusterName(Direction(parts[0]), int(parts[1]), parts[2], parts[3])


def cluster_sni(port: int, subset: str, host: str) -> str:
    """The SNI of mesh mTLS to that cluster: `outbound_.<port>_.<subset>_.<host>`."""
    return f"outbound_.{port}_.{subset}_.{host}"


def listener_name(bind: str, port: int) -> str:
    """`0.0.0.0_80`, `10.96.0.5_3306`."""
    return f"{bind}_{port}"


def grpc_inbound_listener(address: str, port: int) -> str:
    """What gRPC makes of the template for that address; IPv6 literals are bracketed."""
    return GRPC_INBOUND_TEMPLATE % (f"[{address}]:{port}" if ":" in address else f"{address}:{port}")


def virtual_host_name(host: str, port: int) -> str:
    """`reviews.shop.svc.cluster.local:9080`; IPv6 literals are bracketed."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def extension_config_name(namespace: str, name: str) -> str:
    """The extension config of a TrafficExtension; a WasmPlugin is called the same."""
    return f"extensions.istio.io/trafficextension/{namespace}.{name}"


def service_route_name(host: str, port: int) -> str:
    """The route configuration of one sniffed service on its own address."""
    return f"{host}:{port}"


def gateway_http_route(port: int, bind: str = "") -> str:
    """The route configuration of all plain HTTP on a gateway's port, which is the one that is bound."""
    return f"http.{port}.{bind}" if bind else f"http.{port}"


def gateway_https_route(port: int, port_name: str, gateway: str, bind: str = "") -> str:
    """That of one server that ends TLS: the port as declared, the port's name, and the Gateway (`namespace/name`)."""
    namespace, _, name = gateway.partition("/")
    return ".".join(filter(None, ("https", str(port), port_name, name, namespace, bind)))
