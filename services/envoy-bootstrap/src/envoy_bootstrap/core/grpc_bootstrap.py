"""The bootstrap of a gRPC library that is the client of xDS itself (gRFC A27, A29, A36): a workload without a proxy.

It asks the agent's socket, which passes its stream on to Pilot with the workload's certificate, and reads certificate,
key and roots from the files that the agent keeps current. Pure.
"""

from collections.abc import Mapping
from typing import Any

from meshcore.tls.identity import CHAIN_FILE, KEY_FILE, ROOT_FILE
from meshcore.xds.names import CERTIFICATE_PROVIDER, GRPC_INBOUND_TEMPLATE

from envoy_bootstrap.core.addresses import UnixSocket

_REFRESH = "5s"
"""How often the library looks at the files."""


def grpc_node(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node of the library's stream: the same workload, of which Pilot knows that no proxy is there."""
    return {**node, "metadata": {**node["metadata"], "GENERATOR": "grpc"}}


def render_grpc_bootstrap(node: Mapping[str, Any], pilot: UnixSocket, certificates: str) -> dict[str, Any]:
    """The file's content; `certificates` is the absolute folder of the certificate's files."""
    source = {
        "server_uri": f"unix://{pilot.path}",
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    }
    files = {
        "certificate_file": f"{certificates}/{CHAIN_FILE}",
        "private_key_file": f"{certificates}/{KEY_FILE}",
        "ca_certificate_file": f"{certificates}/{ROOT_FILE}",
        "refresh_interval": _REFRESH,
    }
    return {
        "xds_servers": [source],
        "node": grpc_node(node),
        "certificate_providers": {CERTIFICATE_PROVIDER: {"plugin_name": "file_watcher", "config": files}},
        "server_listener_resource_name_template": GRPC_INBOUND_TEMPLATE,
    }
