"""References to parents and backends."""

from collections.abc import Iterable

from meshcore.model.gateway_api.references import BackendObject, ParentReference

from galley.core.rules.report import Report


def check_parents(report: Report, parents: Iterable[ParentReference]) -> None:
    """Several references to one parent differ in section or port, and all of them name it."""
    by_object: dict[tuple[str, str, str, str], list[tuple[str | None, int | None]]] = {}
    for index, parent in enumerate(parents):
        same = by_object.setdefault((parent.group, parent.kind, parent.namespace or "", parent.name), [])
        part = (parent.section_name, parent.port)
        path = f"spec.parentRefs[{index}]"
        if part in same:
            report.error(path, "the same parent is there twice", "another sectionName or port")
        elif any(((first is None), (second is None)) != (part[0] is None, part[1] is None) for first, second in same):
            report.error(path, "one reference to this parent names a section or port, another does not", "all or none")
        same.append(part)


def check_backend_object(report: Report, path: str, backend: BackendObject) -> None:
    """A Service is meant by one of its ports."""
    if backend.group == "" and backend.kind == "Service" and backend.port is None:
        report.error(f"{path}.port", "required for a Service", "a port's number")
