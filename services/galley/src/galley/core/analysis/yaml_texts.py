"""YAML inside of strings (annotations, ConfigMaps), read tolerantly."""

from collections.abc import Mapping
from typing import Any

from meshcore.errors import MeshError
from meshcore.model.load import load_yaml_documents

from galley.core.analysis.reading import camel_keys, mapping


def read_mapping(value: str) -> Mapping[str, Any]:
    """The mapping that a text says, its keys in camelCase; empty when it says none."""
    try:
        documents = load_yaml_documents(value, "text") if value else []
    except MeshError:
        return {}  # what is wrong with it is validation's to say
    return mapping(camel_keys(documents[0].body)) if documents else {}
