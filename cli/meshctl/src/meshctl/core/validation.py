"""Verdicts on config files without any server: what `meshctl validate` says. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from galley.core.admission import violations_of
from meshcore.errors import MeshError, Violation
from meshcore.model.kinds import KINDS, by_kind
from meshcore.model.load import Document

from meshctl.core.documents import kind_faults

_INSTALLER = "install.istio.io"
"""The group of what describes an installation; it stands in files beside the mesh's config and is not part of it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with one document, and what is merely doubtful."""

    document: Document
    errors: tuple[Violation, ...]
    warnings: tuple[Violation, ...]

    @property
    def valid(self) -> bool:
        """True when nothing is wrong with it."""
        return not self.errors

    def entry(self) -> dict[str, Any]:
        """One entry of `meshctl validate -o json`."""
        body = self.document.body if isinstance(self.document.body, Mapping) else {}
        metadata = body.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        return {
            "file": self.document.file,
            "kind": str(body.get("kind", "")),
            "namespace": str(metadata.get("namespace") or ""),
            "name": str(metadata.get("name") or ""),
            "valid": self.valid,
            "errors": [_text(violation) for violation in self.errors],
            "warnings": [_text(violation) for violation in self.warnings],
        }


def _text(violation: Violation) -> str:
    """A violation without its file, which the entry names."""
    where = f"line {violation.line}: " if violation.line else ""
    return where + str(Violation(violation.field, violation.message, violation.expected))


def validate_documents(documents: Iterable[Document]) -> list[Verdict]:
    """A verdict for each document, in order."""
    return [_verdict(document) for document in documents]


def _verdict(document: Document) -> Verdict:
    body = document.body
    if not isinstance(body, Mapping):
        return Verdict(document, (document.locate(Violation("", "is not an object")),), ())
    faults = [document.locate(fault) for fault in kind_faults(body)]
    if faults:
        return Verdict(document, tuple(faults), ())
    if not _is_ours(str(body.get("apiVersion", "")), str(body.get("kind", ""))):
        note = Violation("kind", f"{body.get('kind')} is not a kind of the mesh and was not checked")
        return Verdict(document, (), (document.locate(note),))
    try:
        kind = by_kind(str(body.get("apiVersion", "")), str(body.get("kind", "")))
        errors, warnings = violations_of(body, kind)
    except MeshError as error:
        found = error.violations or (Violation("", error.detail),)
        return Verdict(document, tuple(document.locate(violation) for violation in found), ())
    return Verdict(document, tuple(map(document.locate, errors)), tuple(map(document.locate, warnings)))


def _is_ours(api_version: str, kind: str) -> bool:
    """False for other people's kinds, which a file of Kubernetes objects may hold beside ours."""
    group = api_version.partition("/")[0] if "/" in api_version else ""
    if group == _INSTALLER:
        return False
    if group.endswith("istio.io") or not api_version or not kind:
        return True
    return any(info.kind == kind and info.group == group for info in KINDS)
