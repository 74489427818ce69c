"""One object as analysis sees it: what it is called, where it was written, and its document."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshcore.model.load import Document

from galley.core.analysis.kinds import CLUSTER_SCOPED, Kind
from galley.core.analysis.reading import mapping, string_map, text


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """An object of the set. `namespace` is the one it would be applied to, `written_namespace` the one it names."""

    kind: Kind
    api_version: str
    namespace: str
    name: str
    body: Mapping[str, Any] = field(repr=False)
    labels: Mapping[str, str] = field(repr=False)
    annotations: Mapping[str, str] = field(repr=False)
    document: Document | None = field(repr=False, default=None)
    cluster: str = ""
    written_namespace: str = ""

    @property
    def spec(self) -> Mapping[str, Any]:
        """Its spec."""
        return mapping(self.body, "spec")

    @property
    def full_name(self) -> str:
        """`namespace/name`, or only the name."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def friendly_name(self) -> str:
        """`Kind namespace/name`, the namespace only where the object has or names one."""
        prefix = f"{self.written_namespace}/" if self.written_namespace else ""
        return f"{self.kind.name} {prefix}{self.name}"

    @property
    def file(self) -> str:
        """The file that it is written in; empty for an object of the store."""
        return self.document.file if self.document is not None else ""

    def line_of(self, path: str = "") -> int:
        """The line of a field, or of the object; 0 when it was not read from a file."""
        if self.document is None:
            return 0
        return self.document.line_of(path) if path else self.document.line


def group_of(api_version: str) -> str:
    """The group of an apiVersion; empty for the core group."""
    return api_version.partition("/")[0] if "/" in api_version else ""


def resource_of(
    document: Document, *, cluster: str = "", default_namespace: str = "", from_file: bool = True
) -> Resource | None:
    """The object of a document; None for what is no object at all (no kind, no name)."""
    body = document.body
    kind, name = text(body, "kind"), text(body, "metadata", "name")
    if not kind or not name:
        return None
    api_version = text(body, "apiVersion")
    written = "" if kind in CLUSTER_SCOPED else text(body, "metadata", "namespace")
    return Resource(
        kind=Kind(group_of(api_version), kind),
        api_version=api_version,
        namespace="" if kind in CLUSTER_SCOPED else written or default_namespace,
        name=name,
        body=body,
        labels=string_map(body, "metadata", "labels"),
        annotations=string_map(body, "metadata", "annotations"),
        document=document if from_file else None,
        cluster=cluster,
        written_namespace=written,
    )


def resources_of(
    documents: Iterable[Document], *, cluster: str = "", default_namespace: str = "", from_file: bool = True
) -> Iterator[Resource]:
    """The objects of all documents that are objects."""
    for document in documents:
        found = resource_of(document, cluster=cluster, default_namespace=default_namespace, from_file=from_file)
        if found is not None:
            yield found
