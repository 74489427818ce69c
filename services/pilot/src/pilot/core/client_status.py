"""Sync rows of proxies as Envoy's client status messages, which `istioctl proxy-status` reads. Pure."""

from collections.abc import Mapping
from typing import Any

from envoy.service.status.v3 import csds_pb2
from meshcore.xds.types import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    EXTENSION_CONFIG_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SHORT_NAMES,
)

CLIENT_CONFIG_TYPE = "type.googleapis.com/envoy.service.status.v3.ClientConfig"
_SHOWN = (LISTENER_TYPE, ROUTE_TYPE, ENDPOINT_TYPE, CLUSTER_TYPE, EXTENSION_CONFIG_TYPE)
_OLD_FIELDS = {
    LISTENER_TYPE: "listener_config",
    ROUTE_TYPE: "route_config",
    ENDPOINT_TYPE: "endpoint_config",
    CLUSTER_TYPE: "cluster_config",
}
"""What an istioctl reads that is older than the generic form."""


def client_config(row: Mapping[str, Any]) -> Any:
    """One row of `/debug/syncz` as a `ClientConfig`: for each type NOT_SENT, SYNCED, STALE or ERROR."""
    made = csds_pb2.ClientConfig()
    made.node.id = row["proxy"]
    made.node.metadata.update(
        {
            "CLUSTER_ID": row["cluster_id"],
            "NAMESPACE": str(row["proxy"]).rpartition(".")[2],
            "ISTIO_VERSION": row["istio_version"],
        }
    )
    for type_url in _SHOWN:
        status = _status(row["resources"].get(SHORT_NAMES[type_url]))
        made.generic_xds_configs.add(type_url=type_url, config_status=status)
        if type_url in _OLD_FIELDS:
            old = made.xds_config.add(status=status)
            getattr(old, _OLD_FIELDS[type_url]).SetInParent()
    return made


def _status(of_type: Mapping[str, Any] | None) -> int:
    if of_type is None or not of_type["sent"]:
        return int(csds_pb2.ConfigStatus.NOT_SENT)
    if of_type["lastError"]:
        return int(csds_pb2.ConfigStatus.ERROR)
    same = of_type["sent"] == of_type["acked"]
    return int(csds_pb2.ConfigStatus.SYNCED if same else csds_pb2.ConfigStatus.STALE)
