"""What a change set would do to the proxies, without anything being stored or sent. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.base import MeshObject
from meshcore.model.load import parse_object

from pilot.core.compiling import Compile
from pilot.core.proxy import Proxy, classify
from pilot.core.resource_diff import ResourceChange, resource_changes
from pilot.core.snapshot import MeshSnapshot

OPERATIONS = ("apply", "delete")
MOST_CHANGES = 1000
"""Objects in one question."""


@dataclass(frozen=True)
class Supposed:
    """One object that is supposed to be written, or to go."""

    object: MeshObject
    removed: bool = False


@dataclass(frozen=True)
class Consequence:
    """Proxies whose resources change in the same way, sorted, and how; `problems` is what they could not honour."""

    proxies: tuple[str, ...]
    changes: tuple[ResourceChange, ...]
    problems: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "proxies": list(self.proxies),
            "resources": [change.document() for change in self.changes],
            "problems": list(self.problems),
        }


def parse_changes(changes: Iterable[Mapping[str, Any]]) -> list[Supposed]:
    """Read `[{"operation": "apply" | "delete", "object": {...}}]`, objects normalised; INVALID with every fault."""
    found, violations = [], []
    for index, change in enumerate(changes):
        place, operation = f"changes[{index}]", change.get("operation", "apply")
        if operation not in OPERATIONS:
            violations.append(Violation(f"{place}.operation", f"{operation!r} is none of {', '.join(OPERATIONS)}"))
        elif not isinstance(change.get("object"), Mapping):
            violations.append(Violation(f"{place}.object", "is not an object"))
        else:
            try:
                found.append(Supposed(_read(change["object"], operation == "delete"), operation == "delete"))
            except MeshError as error:
                inner = error.violations or (Violation("", error.detail),)
                violations += [Violation(f"{place}.object.{one.field}".rstrip("."), one.message) for one in inner]
        if index >= MOST_CHANGES:
            raise MeshError(ErrorCode.INVALID, f"more than {MOST_CHANGES} objects")
    if violations:
        raise MeshError(ErrorCode.INVALID, "the change set is not valid", violations)
    return found


def _read(document: Mapping[str, Any], removed: bool) -> MeshObject:
    if not removed:
        return parse_object(document, strict=False)
    kept = {key: document[key] for key in ("apiVersion", "kind", "metadata") if key in document}
    return MeshObject.model_validate(kept)


class Comparison:
    """Who would be sent what. Proxies of one class before and after are compared once: a group at a time, so that a
    caller can do other things between them."""

    def __init__(self, before: MeshSnapshot, after: MeshSnapshot, compiled: Compile) -> None:
        self._before, self._after = before, after
        self._compiled = compiled
        self._found: dict[str, tuple[tuple[ResourceChange, ...], set[str], set[str]]] = {}

    def groups(self, proxies: Iterable[Proxy]) -> list[list[Proxy]]:
        """The proxies that are affected alike."""
        found: dict[object, list[Proxy]] = {}
        for proxy in proxies:
            classes = classify(proxy, self._before.selection), classify(proxy, self._after.selection)
            found.setdefault(classes, []).append(proxy)
        return list(found.values())

    def look(self, group: Sequence[Proxy]) -> None:
        """Compare what one group has with what it would have."""
        old = self._compiled(self._before, classify(group[0], self._before.selection))
        new = self._compiled(self._after, classify(group[0], self._after.selection))
        changes = resource_changes(old, new)
        problems = {str(item.message) for item in new.diagnostics} - {str(item.message) for item in old.diagnostics}
        if changes or problems:
            # Values of fields may be lists and mappings, which are no keys; their text is one.
            _, names, told = self._found.setdefault(repr(changes), (changes, set(), set()))
            names.update(proxy.id for proxy in group)
            told |= problems

    @property
    def consequences(self) -> tuple[Consequence, ...]:
        """One entry for each different outcome; proxies without a difference are left out."""
        made = (
            Consequence(tuple(sorted(names)), what, tuple(sorted(told))) for what, names, told in self._found.values()
        )
        return tuple(sorted(made, key=lambda one: one.proxies))


def consequences(
    before: MeshSnapshot, after: MeshSnapshot, proxies: Iterable[Proxy], compiled: Compile
) -> tuple[Consequence, ...]:
    """All groups at once."""
    comparison = Comparison(before, after, compiled)
    for group in comparison.groups(proxies):
        comparison.look(group)
    return comparison.consequences


def united(parts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The consequences (as documents) of several processes as one list: the same outcome is one entry."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        entry = found.setdefault(repr(part["resources"]), {**part, "proxies": [], "problems": []})
        entry["proxies"] = sorted({*entry["proxies"], *part["proxies"]})
        entry["problems"] = sorted({*entry["problems"], *part["problems"]})
    return sorted(found.values(), key=lambda entry: entry["proxies"])
