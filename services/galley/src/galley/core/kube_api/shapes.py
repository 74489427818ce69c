"""How objects and lists look in a reply: in the version and form that the caller asked for."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from meshcore.model.kinds import KindInfo

from galley.core.kind_rules import KindRules
from galley.core.kube_api.negotiation import Form
from galley.core.kube_api.tables import API_VERSION, partial_metadata, table

Document = Mapping[str, Any]


def in_version(document: Document, info: KindInfo, version: str) -> dict[str, Any]:
    """The object as that version shows it: all versions of a kind have one schema."""
    return {**document, "apiVersion": info.api_version_of(version), "kind": info.kind}


def shape_object(document: Document, form: Form, rules: KindRules, now: datetime, include: str) -> dict[str, Any]:
    """One object in the form asked for; a Table has one row and carries the object's version."""
    if form is Form.TABLE:
        metadata = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
        return table([document], rules.columns, now, metadata, include_object=include)
    if form is Form.METADATA:
        return partial_metadata(document)
    return dict(document)


def shape_list(
    documents: Iterable[Document],
    form: Form,
    info: KindInfo,
    version: str,
    rules: KindRules,
    now: datetime,
    metadata: Document,
    include: str,
) -> dict[str, Any]:
    """A list in the form asked for."""
    if form is Form.TABLE:
        return table(documents, rules.columns, now, metadata, include_object=include)
    if form is Form.METADATA:
        items = [partial_metadata(document) for document in documents]
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": API_VERSION,
            "metadata": dict(metadata),
            "items": items,
        }
    return {
        "apiVersion": info.api_version_of(version),
        "kind": f"{info.kind}List",
        "metadata": dict(metadata),
        "items": list(documents),
    }
