"""Small protobuf pieces that every builder needs. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_interface
from typing import Any

from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2
from google.protobuf import any_pb2, duration_pb2, struct_pb2, wrappers_pb2
from meshcore.xds import origin
from meshcore.xds.origin import Origins

UINT32_MAX = 4294967295
ISTIO_METADATA = "istio"


def any_of(message: Any) -> any_pb2.Any:
    """Packed the same way every time."""
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed


def duration(value: timedelta) -> duration_pb2.Duration:
    """The protobuf form."""
    made = duration_pb2.Duration()
    made.FromTimedelta(value)
    return made


def uint32(value: int) -> wrappers_pb2.UInt32Value:
    """A number that can be absent."""
    return wrappers_pb2.UInt32Value(value=value)


def boolean(value: bool) -> wrappers_pb2.BoolValue:
    """A flag that can be absent."""
    return wrappers_pb2.BoolValue(value=value)


def socket_address(address: str, port: int) -> address_pb2.Address:
    """IP address (or DNS name) and port; `unix://<path>` is a pipe."""
    if address.startswith("unix://"):
        return address_pb2.Address(pipe=address_pb2.Pipe(path=address.removeprefix("unix://")))
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=address, port_value=port))


def authority(host: str, port: int) -> str:
    """Host and port as one text, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def cidr_range(text: str) -> address_pb2.CidrRange:
    """An address or a network; ValueError when it is neither."""
    found = ip_interface(text)
    return address_pb2.CidrRange(address_prefix=str(found.ip), prefix_len=uint32(found.network.prefixlen))


def source_bind(address: str, *more: str) -> address_pb2.BindConfig:
    """Bind upstream sockets to this address, on any port; `more` are for destinations of the other family."""
    made = address_pb2.BindConfig(source_address=address_pb2.SocketAddress(address=address, port_value=0))
    for other in more:
        made.extra_source_addresses.add(address=address_pb2.SocketAddress(address=other, port_value=0))
    return made


def ads_source() -> config_source_pb2.ConfigSource:
    """Over ADS, waited for without a limit."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        initial_fetch_timeout=duration_pb2.Duration(),
        resource_api_version=config_source_pb2.ApiVersion.V3,
    )


def agent_source(cluster: str) -> config_source_pb2.ConfigSource:
    """From a socket of the agent's, waited for without a limit."""
    made = config_source_pb2.ConfigSource(
        initial_fetch_timeout=duration_pb2.Duration(), resource_api_version=config_source_pb2.ApiVersion.V3
    )
    made.api_config_source.api_type = config_source_pb2.ApiConfigSource.DELTA_GRPC
    made.api_config_source.transport_api_version = config_source_pb2.ApiVersion.V3
    made.api_config_source.set_node_on_first_message_only = True
    service = made.api_config_source.grpc_services.add().envoy_grpc
    service.cluster_name = cluster
    service.retry_policy.retry_back_off.base_interval.nanos = 50_000_000
    service.retry_policy.retry_back_off.max_interval.nanos = 500_000_000
    return made


def struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """A protobuf Struct of JSON-like values."""
    made = struct_pb2.Struct()
    made.update(dict(values))
    return made


def provenance(
    path: str = "", extra: Mapping[str, Any] | None = None, origins: Origins = ()
) -> base_pb2.Metadata | None:
    """Which config made a part of a resource: Istio's key `istio.config` with the one object that it names, and ours
    with all of them. None when all is empty."""
    istio: dict[str, Any] = {**({"config": path} if path else {}), **(extra or {})}
    if not istio and not origins:
        return None
    metadata = base_pb2.Metadata()
    if istio:
        metadata.filter_metadata[ISTIO_METADATA].CopyFrom(struct(istio))
    if origins:
        metadata.filter_metadata[origin.NAMESPACE].CopyFrom(struct({origin.KEY: [str(item) for item in origins]}))
    return metadata
