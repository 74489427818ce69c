"""Which Gateways a proxy implements, and which VirtualServices are bound to each. Pure.

A Gateway selects proxies of any namespace by their labels; the oldest Gateway goes first (creation, name, namespace).
A VirtualService is bound by the Gateway's name, `namespace/name`, in whatever form it is written.
"""

from collections.abc import Mapping

from meshcore.labels import selects
from meshcore.model import Gateway, VirtualService

from pilot.core.config import Config, oldest_first
from pilot.core.proxy import ProxyClass, ProxyType
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.scoping import MESH_GATEWAY, visible_routes


def gateways_for(snapshot: MeshSnapshot, proxy_class: ProxyClass) -> tuple[Config[Gateway], ...]:
    """The Gateways whose selector the class has; a Gateway without a selector is every router's."""
    if proxy_class.type is not ProxyType.ROUTER:
        return ()
    labels = proxy_class.label_map
    every: Mapping[tuple[str, str], Config[Gateway]] = snapshot.configs.get("Gateway", {})
    return oldest_first(config for config in every.values() if selects(config.object.spec.selector, labels))


def gateway_name(text: str, namespace: str) -> str:
    """`namespace/name` of a gateway that config of `namespace` names; `mesh` stays.

    Forms: `ns/gw`, `./gw`, `gw`, and the old `gw.ns` with or without the rest of a host name.
    """
    if text == MESH_GATEWAY:
        return text
    place, slash, name = text.partition("/")
    if slash:
        return f"{namespace if place in ('.', '') else place}/{name}"
    name, dot, rest = text.partition(".")
    return f"{rest.split('.')[0]}/{name}" if dot else f"{namespace}/{name}"


def gateway_names(names: tuple[str, ...], namespace: str) -> frozenset[str]:
    """All of a list, spelled out."""
    return frozenset(gateway_name(name, namespace) for name in names)


def bound_routes(snapshot: MeshSnapshot, namespace: str) -> Mapping[str, tuple[Config[VirtualService], ...]]:
    """VirtualServices that a namespace sees, by the gateway that they are bound to, in the order of precedence."""
    found: dict[str, list[Config[VirtualService]]] = {}
    for config in visible_routes(snapshot, namespace):
        for name in sorted(gateway_names(config.object.spec.gateways, config.namespace) - {MESH_GATEWAY}):
            found.setdefault(name, []).append(config)
    return {name: tuple(configs) for name, configs in found.items()}
