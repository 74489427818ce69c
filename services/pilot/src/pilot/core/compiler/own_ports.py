"""The ports of a proxy that are not the user's: its own listeners, and the agent's beside it. Pure."""

from pilot.core.compiler.context import Compilation
from pilot.core.proxy import ProxyType

_MESH_PORTS = (15020, 15021, 15090)
"""The agent's status, health and Prometheus listeners, beside the proxy."""


def reserved_ports(work: Compilation) -> frozenset[int]:
    """What no listener for a user's port may bind: Envoy could not, and would refuse it again and again."""
    one, mesh = work.proxy_class, work.mesh
    own = {one.status_port, *_MESH_PORTS}
    if one.type is ProxyType.ROUTER or one.on_own_addresses:
        own.add(mesh.default_config.proxy_admin_port)
    if one.on_own_addresses:
        own.add(one.http_proxy_port or mesh.proxy_http_port)
    elif one.type is not ProxyType.ROUTER:
        own |= {mesh.proxy_listen_port, mesh.proxy_inbound_listen_port}
    return frozenset(own)
