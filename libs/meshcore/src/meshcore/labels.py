"""Labels and the two ways to select by them.

`selects` is Istio's and a Service's selector: every pair must be there. `LabelSelector` is Kubernetes' query language
(`app in (a,b),!canary,tier!=db`), as kubectl sends it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from meshcore.errors import ErrorCode, MeshError, Violation

_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_KEY = re.compile(rf"(?:[a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_NAME}")
_VALUE = re.compile(rf"(?:{_NAME})?")
_SET = re.compile(r"(?P<key>\S+)\s+(?P<op>in|notin)\s+\((?P<values>[^)]*)\)")
_EQUALITY = re.compile(r"(?P<key>[^=!\s]+)\s*(?P<op>==|=|!=)\s*(?P<value>\S*)")


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether `labels` has every pair of `selector`; an empty selector selects everything."""
    return all(labels.get(key) == value for key, value in selector.items())


class _Op(Enum):
    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class _Requirement:
    key: str
    op: _Op
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.op is _Op.EXISTS:
            return self.key in labels
        if self.op is _Op.ABSENT:
            return self.key not in labels
        if self.op is _Op.IN:
            return labels.get(self.key) in self.values
        return labels.get(self.key) not in self.values


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A parsed Kubernetes label selector; the empty one matches everything."""

    requirements: tuple[_Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether every requirement holds."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def parse_selector(text: str) -> LabelSelector:
    """Read a selector query; INVALID names the requirement that cannot be read."""
    return LabelSelector(tuple(_parse_requirement(part) for part in _split(text) if part))


def _split(text: str) -> list[str]:
    """Split at commas that are not inside parentheses."""
    return [part.strip() for part in re.split(r",(?![^()]*\))", text)]


def _parse_requirement(text: str) -> _Requirement:
    if found := _SET.fullmatch(text):
        values = frozenset(value.strip() for value in found["values"].split(","))
        op = _Op.IN if found["op"] == "in" else _Op.NOT_IN
        return _checked(text, _Requirement(found["key"], op, values))
    if found := _EQUALITY.fullmatch(text):
        op = _Op.NOT_IN if found["op"] == "!=" else _Op.IN
        return _checked(text, _Requirement(found["key"], op, frozenset((found["value"],))))
    if text.startswith("!"):
        return _checked(text, _Requirement(text[1:].strip(), _Op.ABSENT))
    return _checked(text, _Requirement(text, _Op.EXISTS))


def _checked(text: str, requirement: _Requirement) -> _Requirement:
    if not _KEY.fullmatch(requirement.key) or not all(_VALUE.fullmatch(value) for value in requirement.values):
        raise MeshError(
            ErrorCode.INVALID,
            f"unable to parse requirement {text!r}",
            [Violation("labelSelector", f"{text!r} is not a requirement", "key=value, key in (a,b), key or !key")],
        )
    return requirement


def label_violations(labels: Mapping[str, str], field: str) -> list[Violation]:
    """What is wrong with a label map by Kubernetes' rules; keys have an optional DNS prefix."""
    found = []
    for key, value in labels.items():
        if not _KEY.fullmatch(key) or len(key.rsplit("/", 1)[-1]) > 63:
            found.append(
                Violation(f"{field}[{key}]", f"{key!r} is not a label key", "[prefix/]name of at most 63 characters")
            )
        if not _VALUE.fullmatch(value) or len(value) > 63:
            found.append(
                Violation(f"{field}[{key}]", f"{value!r} is not a label value", "at most 63 of [A-Za-z0-9-_.]")
            )
    return found
