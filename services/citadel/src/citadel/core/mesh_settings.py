"""What Citadel reads of MeshConfig: whether it agrees about the trust domain. Pure.

The trust domain is a parameter of `init`, baked into every certificate; a MeshConfig that names another one is
reported, not obeyed.
"""

from collections.abc import Mapping
from typing import Any

import yaml
from meshcore.distribution.keys import Key

MESH_KEY = "mesh"


def mesh_config_key(root_namespace: str, name: str) -> Key:
    """Where MeshConfig is published."""
    return Key("", "configmaps", root_namespace, name)


def named_trust_domain(config_map: Mapping[str, Any] | None) -> str | None:
    """The trust domain that a ConfigMap's MeshConfig names; None when it names none or is not readable."""
    text = ((config_map or {}).get("data") or {}).get(MESH_KEY)
    if not isinstance(text, str):
        return None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    named = document.get("trustDomain") if isinstance(document, Mapping) else None
    return named if isinstance(named, str) and named else None
