"""`meshctl apply --dry-run`: the files as one change set, and what Galley's verdict on it says of the files. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.kinds import by_kind
from meshcore.model.load import Document

from meshctl.core.documents import named_objects

_PLACE = re.compile(r"changes\[(\d+)\]\.object\.?")
_PROXIES = 5
"""Proxies that are named."""


def change_set(documents: Sequence[Document], namespace: str) -> dict[str, Any]:
    """The request; objects that name no namespace go into this one. INVALID says what is no object that is known."""
    bodies = named_objects(documents)
    unknown: list[Violation] = []
    changes = []
    for document, body in zip(documents, bodies, strict=True):
        try:
            changes.append({"operation": "apply", "object": _placed(body, namespace)})
        except MeshError as error:
            unknown.append(document.locate(Violation("kind", error.detail)))
    if unknown:
        raise MeshError(ErrorCode.INVALID, "these are not all objects of the config API", unknown)
    return {"changes": changes, "dry_run": True}


def _placed(body: Mapping[str, Any], namespace: str) -> Mapping[str, Any]:
    info = by_kind(str(body["apiVersion"]), str(body["kind"]))
    metadata = body["metadata"]
    if metadata.get("namespace") or not info.namespaced:
        return body
    return {**body, "metadata": {**metadata, "namespace": namespace}}


def outcome_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """What would become of each object."""
    for item in answer["objects"]:
        key = item["key"]
        group = f".{key['group']}" if key["group"] else ""
        verb = "applied" if item["resource_version"] == str(answer["revision"]) else "unchanged"
        yield f"{key['plural']}{group}/{key['name']} {verb} (dry run)"


def violation_lines(answer: Mapping[str, Any], documents: Sequence[Document]) -> Iterator[str]:
    """Every violation with the file and line that it is about."""
    for item in answer.get("violations") or ():
        found = _PLACE.match(item["field"])
        violation = Violation(item["field"], item["message"], item.get("expected", ""))
        if found is not None:
            inner = Violation(item["field"][found.end() :], item["message"], item.get("expected", ""))
            violation = documents[int(found[1])].locate(inner)
        yield str(violation)


def warning_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """What was warned of, what analysis would say, each with its fix, and which proxies it would reach."""
    yield from (f"Warning: {text}" for text in answer.get("warnings") or ())
    what_if = answer.get("what_if") or {}
    for finding in what_if.get("findings") or ():
        yield _finding(finding)
        if fix := finding.get("fix"):
            yield f"  fix: {fix['description']}"
            if fix.get("patch"):
                yield f"  patch: {json.dumps(fix['patch'])}"
    yield from (f"Resolved: {_finding(finding)}" for finding in what_if.get("resolved") or ())
    if reached := what_if.get("proxies"):
        names = sorted({name for one in reached["consequences"] for name in one["proxies"]})
        more = f" and {len(names) - _PROXIES} more" if len(names) > _PROXIES else ""
        told = f": {', '.join(names[:_PROXIES])}{more}" if names else ""
        yield f"It would reach {len(names) + reached['hidden']} of {reached['proxies']} proxies{told}"
        yield from (f"  problem: {problem}" for one in reached["consequences"] for problem in one["problems"])
    elif why_not := what_if.get("proxies_not_known"):
        yield f"Which proxies it would reach is not known: {why_not}"


def _finding(finding: Mapping[str, Any]) -> str:
    origin = f" ({finding['origin']})" if finding["origin"] else ""
    return f"{finding['level']} [{finding['code']}]{origin} {finding['message']}"
