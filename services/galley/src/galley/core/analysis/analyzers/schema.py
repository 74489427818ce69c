"""What validation says of each object of Istio's kinds, as messages."""

from collections.abc import Callable, Iterator
from functools import partial

from meshcore.errors import MeshError, Violation
from meshcore.model.kinds import KINDS, KindInfo, by_kind

from galley.core.admission import violations_of
from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix, remove
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import VIRTUAL_SERVICE, Kind
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import INEFFECTIVE_MATCH, SCHEMA_ERROR, SCHEMA_WARNING, UNREACHABLE_RULE
from galley.core.analysis.resource import Resource
from galley.core.kinds.virtual_service.reachability import NEVER_REACHED, NEVER_USED
from galley.core.rules.object_paths import parse_path

Run = Callable[[Inputs, Moment], Iterator[Message]]


def schema_kinds() -> tuple[KindInfo, ...]:
    """Istio's own kinds, in order of name."""
    return tuple(sorted((info for info in KINDS if info.group.endswith("istio.io")), key=lambda info: info.kind))


def check_kind(info: KindInfo) -> Run:
    """The analyzer of one kind."""
    return partial(_check_kind, info)


def _check_kind(info: KindInfo, inputs: Inputs, _: Moment) -> Iterator[Message]:
    for resource in inputs.of(Kind(info.group, info.kind)):
        yield from _check(resource)


def _check(resource: Resource) -> Iterator[Message]:
    try:
        errors, warnings = violations_of(resource.body, by_kind(resource.api_version, resource.kind.name))
    except MeshError as error:
        errors, warnings = list(error.violations) or [Violation("", error.detail)], []
    for violation in errors:
        yield Message(SCHEMA_ERROR, resource, (_text(violation),), resource.line_of(violation.field))
    for violation in warnings:
        yield _warning(resource, violation)


def _warning(resource: Resource, violation: Violation) -> Message:
    line = resource.line_of(violation.field)
    if resource.kind == VIRTUAL_SERVICE and violation.message.startswith((NEVER_REACHED, NEVER_USED)):
        place = parse_path(violation.field)
        reason = violation.message.partition(": ")[2]
        if violation.message.startswith(NEVER_REACHED):
            fix = Fix("Remove the rule, or put it before the one that takes its requests.", (remove(*place),))
            return Message(UNREACHABLE_RULE, resource, (f"#{place[2]}", reason), line, fix)
        fix = Fix("Remove the match.", (remove(*place),))
        return Message(INEFFECTIVE_MATCH, resource, (f"#{place[2]}", f"#{place[4]}", reason), line, fix)
    return Message(SCHEMA_WARNING, resource, (_text(violation),), line)


def _text(violation: Violation) -> str:
    return str(Violation(violation.field, violation.message, violation.expected))
