"""What one change looks like to one watcher.

With a label selector an object that leaves the selection is DELETED, with the labels it had and the new version; one
that enters it is ADDED.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshcore.model.kinds import KindInfo

from galley.core.kube_api.selectors import Selection
from galley.core.storage import ChangeType, StoredChange


@dataclass(frozen=True, slots=True)
class WatchScope:
    """What a watcher watches: a kind, in one namespace or in all, under a selection."""

    info: KindInfo
    namespace: str | None
    selection: Selection


def event_of(change: StoredChange, scope: WatchScope) -> tuple[ChangeType, Mapping[str, Any]] | None:
    """The event for this watcher, or None when the change is nothing to it."""
    key, info = change.key, scope.info
    if (key.group, key.plural) != (info.group, info.plural):
        return None
    if scope.namespace is not None and key.namespace != scope.namespace:
        return None
    document = change.document
    selected = scope.selection.matches(document)
    if change.previous_labels is None:
        return (ChangeType.ADDED, document) if selected else None
    before = with_labels(document, change.previous_labels)
    was_selected = scope.selection.matches(before)
    if change.type is ChangeType.DELETED:
        return (ChangeType.DELETED, before) if was_selected else None
    if selected:
        return (ChangeType.MODIFIED if was_selected else ChangeType.ADDED), document
    return (ChangeType.DELETED, before) if was_selected else None


def with_labels(document: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """The object with other labels."""
    metadata = {key: value for key, value in document["metadata"].items() if key != "labels"}
    if labels:
        metadata["labels"] = dict(labels)
    return {**document, "metadata": metadata}


def bookmark(info: KindInfo, version: str, revision: int) -> dict[str, Any]:
    """A BOOKMARK's object: nothing but how far the watch has come."""
    return {
        "kind": info.kind,
        "apiVersion": info.api_version_of(version),
        "metadata": {"resourceVersion": str(revision), "creationTimestamp": None},
    }
