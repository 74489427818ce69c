"""Which objects are confidential, and what of them everybody may see. Pure.

Of a Secret the history, the change stream, tables and viewers have the public part: its type, its name, its labels.
Annotations are not public: `last-applied-configuration` repeats the data.
"""

from collections.abc import Mapping
from typing import Any

from meshcore.distribution.keys import Key

CONFIDENTIAL = frozenset({("", "secrets")})
"""API group and plural of the kinds whose rules say that they are."""

DIGEST = "meshcore.io/content-digest"
"""Annotation of a public part: changes when the content does, and says nothing else about it."""

_PUBLIC_METADATA = (
    "name",
    "namespace",
    "labels",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
)


def is_confidential(key: Key) -> bool:
    """Whether the content of this object must be encrypted at rest and is never published."""
    return (key.group, key.plural) in CONFIDENTIAL


def public_part(document: Mapping[str, Any], digest: str = "") -> dict[str, Any]:
    """The document without anything that could be a secret."""
    found = document.get("metadata") or {}
    metadata = {name: found[name] for name in _PUBLIC_METADATA if name in found}
    shown = digest or (found.get("annotations") or {}).get(DIGEST, "")
    if shown:
        metadata["annotations"] = {DIGEST: shown}
    kept = {name: document[name] for name in ("apiVersion", "kind", "type", "immutable") if name in document}
    return {**kept, "metadata": metadata}


def with_key_names(document: Mapping[str, Any]) -> dict[str, Any]:
    """The public part, and the names of the keys: what a table for somebody who may read the object is made of."""
    return {**public_part(document), "data": dict.fromkeys(document.get("data") or {}, "")}
