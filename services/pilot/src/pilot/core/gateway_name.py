"""Names of gateways as VirtualServices spell them. Pure."""

MESH_GATEWAY = "mesh"
"""Stands for all sidecars."""


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
