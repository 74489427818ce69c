"""`meshctl analyze` without any input or output: which objects, how messages are printed, and the exit code. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from galley.core.analysis.analysis import Suppression, analyze, at_least, parse_suppression, worst_reaches
from galley.core.analysis.analyzer import Moment
from galley.core.analysis.default_objects import default_objects
from galley.core.analysis.inputs import Inputs, networks_resource
from galley.core.analysis.message import Level, Message
from galley.core.analysis.registry import ANALYZERS, named
from galley.core.analysis.resource import Resource, resources_of
from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.load import Document

FOUND_ISSUES = 79
UNREADABLE = 65
BAD_USAGE = 64
FORMATS = ("log", "json", "yaml")
DEFAULT_NAMESPACE = "default"
_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for."""

    analyzers: tuple[str, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    namespace: str | None = None
    """Show only messages about this namespace, and put documents that name none into it."""
    all_namespaces: bool = False
    mesh_config: Mapping[str, Any] | None = None
    mesh_networks: Mapping[str, Any] | None = None


def parse_level(text: str) -> Level:
    """A level by its name, in any case; INVALID for anything else."""
    try:
        return Level[text.upper()]
    except KeyError:
        known = ", ".join(level.label for level in Level)
        raise MeshError(ErrorCode.INVALID, f"{text!r} is not a level; there are {known}") from None


def parse_boolean(text: str) -> bool:
    """`true` or `false` as istioctl reads them; INVALID for anything else."""
    found = _BOOLEANS.get(text.lower())
    if found is None:
        raise MeshError(ErrorCode.INVALID, f"{text!r} is neither true nor false")
    return found


def parse_suppressions(texts: Iterable[str]) -> tuple[Suppression, ...]:
    """Every `CODE=RESOURCE`; INVALID names the one that is not."""
    found = []
    for text in texts:
        suppression = parse_suppression(text)
        if suppression is None:
            raise MeshError(ErrorCode.INVALID, f"{text} is not a suppression; write CODE=RESOURCE")
        found.append(suppression)
    return tuple(found)


def analyze_documents(
    files: Sequence[Document], live: Sequence[Document] | None, request: Request, now: float
) -> tuple[Message, ...]:
    """Messages about the documents of files laid over the live ones; without live ones Istio's own are supposed."""
    resources: list[Resource] = []
    if live is None:
        resources += default_objects(request.mesh_config or {})
    else:
        resources += resources_of(live, from_file=False)
    home = request.namespace or DEFAULT_NAMESPACE
    resources += resources_of(files, default_namespace=home)
    networks = networks_resource(request.mesh_networks) if request.mesh_networks is not None else None
    return analyze(
        Inputs(resources, mesh_config=request.mesh_config, mesh_networks=networks),
        Moment(now),
        analyzers=named(request.analyzers),
        suppressions=request.suppressions,
        namespace=None if request.all_namespaces else request.namespace,
    )


def render(messages: Sequence[Message], output: str, *, show_fixes: bool = False) -> str:
    """The messages as lines, as JSON or as YAML."""
    if output == "log":
        return "\n".join(line for message in messages for line in _lines(message, show_fixes))
    documents = [message.document() for message in messages]
    if output == "json":
        return json.dumps(documents, indent="\t", ensure_ascii=False)
    return str(yaml.safe_dump(documents, sort_keys=False, allow_unicode=True, width=10_000)).rstrip("\n")


def _lines(message: Message, show_fixes: bool) -> list[str]:
    lines = [message.log_line()]
    if show_fixes and message.fix is not None:
        lines.append(f"  fix: {message.fix.description}")
        if message.fix.patch:
            lines.append(f"  patch: {json.dumps([dict(operation) for operation in message.fix.patch])}")
    return lines


def shown(messages: Sequence[Message], threshold: Level) -> tuple[Message, ...]:
    """The messages that are printed."""
    return at_least(messages, threshold)


def exit_code(
    messages: Sequence[Message],
    problems: Sequence[Violation],
    threshold: Level,
    output: str,
    *,
    ignore_unknown: bool = False,
) -> int:
    """As istioctl's: data formats always end well, lines do not when something is bad enough or unreadable."""
    if output != "log":
        return 0
    if worst_reaches(messages, threshold):
        return FOUND_ISSUES
    return UNREADABLE if problems and not ignore_unknown else 0


def nothing_found(paths: Sequence[str], live: bool, problems: Sequence[Violation]) -> str:
    """What is said when there is no message."""
    what = ", ".join(paths) or "the running stack"
    if live and paths:
        what += " over the running stack"
    if problems:
        return f"No validation issues found when analyzing {what} (but {len(problems)} documents could not be read)."
    return f"✔ No validation issues found when analyzing {what}."


def analyzer_list() -> str:
    """Every analyzer with what it looks for."""
    lines = [
        f"* {analyzer.name}:\n    {analyzer.description}" for analyzer in sorted(ANALYZERS, key=lambda one: one.name)
    ]
    return "\n".join(lines)
