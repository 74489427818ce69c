"""Which Gateways a proxy implements, and which VirtualServices are bound to each. Pure.

A Gateway selects proxies of any namespace by their labels; the oldest Gateway goes first (creation, name, namespace),
and before all of them those that Ingresses stand for, which are of no age.
A VirtualService is bound by the Gateway's name, `namespace/name`, in whatever form it is written.
"""

from collections.abc import Mapping

from meshcore.labels import selects
from meshcore.model import Gateway, VirtualService

from pilot.core.config import Config, oldest_first
from pilot.core.gateway_name import MESH_GATEWAY, gateway_names
from pilot.core.proxy import ProxyClass, ProxyType
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.scoping import visible_routes


def gateways_for(snapshot: MeshSnapshot, proxy_class: ProxyClass) -> tuple[Config[Gateway], ...]:
    """The Gateways whose selector the class has; a Gateway without a selector is every router's."""
    if proxy_class.type is not ProxyType.ROUTER:
        return ()
    labels = proxy_class.label_map
    written: Mapping[tuple[str, str], Config[Gateway]] = snapshot.configs.get("Gateway", {})
    every = (*written.values(), *snapshot.ingress.gateways)
    return oldest_first(config for config in every if selects(config.object.spec.selector, labels))


def bound_routes(snapshot: MeshSnapshot, namespace: str) -> Mapping[str, tuple[Config[VirtualService], ...]]:
    """VirtualServices that a namespace sees, by the gateway that they are bound to, in the order of precedence."""
    found: dict[str, list[Config[VirtualService]]] = {}
    for config in visible_routes(snapshot, namespace):
        for name in sorted(gateway_names(config.object.spec.gateways, config.namespace) - {MESH_GATEWAY}):
            found.setdefault(name, []).append(config)
    return {name: tuple(configs) for name, configs in found.items()}
