"""Config objects by namespace, oldest first: the order in which they win. Pure."""

from collections.abc import Mapping

from pilot.core.config import AnyConfig, Configs, ConfigsByNamespace, oldest_first

INDEXED_KINDS = frozenset(
    {
        "VirtualService",
        "DestinationRule",
        "PeerAuthentication",
        "AuthorizationPolicy",
        "RequestAuthentication",
        "Sidecar",
        "Namespace",
        "EnvoyFilter",
        "TrafficExtension",
        "WasmPlugin",
        "Telemetry",
    }
)
"""Kinds of which somebody asks for all of one namespace."""


def sorted_again(before: ConfigsByNamespace, configs: Configs, touched: Mapping[str, set[str]]) -> ConfigsByNamespace:
    """The index after objects of these namespaces changed, by kind; what did not change stays the same object."""
    after = dict(before)
    for kind in touched.keys() & INDEXED_KINDS:
        spaces = dict(after.get(kind, {}))
        members: dict[str, list[AnyConfig]] = {namespace: [] for namespace in touched[kind]}
        for (namespace, _), config in configs[kind].items():
            if namespace in members:
                members[namespace].append(config)
        for namespace, found in members.items():
            spaces[namespace] = oldest_first(found)
            if not found:
                del spaces[namespace]
        after[kind] = spaces
    return after
