"""Switches that are variables of istiod in Istio, where they decide how configuration is compiled.

Here what concerns the whole mesh is data (architecture.md §5), so MeshConfig's `defaultConfig.proxyMetadata` has them.
Pure.
"""

from meshcore.model.mesh_config import MeshConfig

_ON = ("true", "1")


def is_switched_on(mesh: MeshConfig, variable: str) -> bool:
    """Whether the variable of that name says so; unset or anything else is off."""
    return mesh.default_config.proxy_metadata.get(variable, "").lower() in _ON
