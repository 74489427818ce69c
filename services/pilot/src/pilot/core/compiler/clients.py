"""Whose traffic a rule is compiled for: a workload's own, or what comes in through a gateway. Pure.

What Istio decides per proxy and not per request is decided here: `port`, `gateways`, `sourceLabels`, `sourceNamespace`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshcore.labels import selects
from meshcore.model.virtual_service import HttpMatchRequest, L4MatchAttributes, TlsMatchAttributes

from pilot.core.gateway_name import MESH_GATEWAY, gateway_names
from pilot.core.proxy import ProxyClass


@dataclass(frozen=True)
class Client:
    """A class of proxies behind one gateway; `gateway` is `mesh` or `namespace/name`."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    gateway: str = MESH_GATEWAY

    def meets(self, match: HttpMatchRequest | L4MatchAttributes | TlsMatchAttributes, port: int, owner: str) -> bool:
        """Whether a match of a VirtualService in namespace `owner` counts on this listener port.

        A match that names gateways does not look at the source.
        """
        if match.port and match.port != port:
            return False
        if match.gateways:
            return self.gateway in gateway_names(match.gateways, owner)
        if match.source_namespace and match.source_namespace != self.namespace:
            return False
        return selects(match.source_labels, self.labels)


def client_of(proxy_class: ProxyClass, gateway: str = MESH_GATEWAY) -> Client:
    """That class, calling for itself or for who comes through a gateway."""
    return Client(proxy_class.namespace, proxy_class.label_map, gateway)
