"""Running analyzers over a set of objects, and what becomes of their messages."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from galley.core.analysis.analyzer import Analyzer, Moment
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.message import Level, Message
from galley.core.analysis.message_types import INTERNAL_ERROR
from galley.core.analysis.registry import ANALYZERS

_SUPPRESS = "galley.istio.io/analyze-suppress"


@dataclass(frozen=True, slots=True)
class Suppression:
    """Messages of a code about resources whose name (`Kind name.namespace`) fits a pattern with `*`."""

    code: str
    resource: str

    def covers(self, message: Message) -> bool:
        """Whether the message is suppressed; `Kind namespace/name` is taken too, as messages write it."""
        resource = message.resource
        if resource is None or message.type.code != self.code:
            return False
        dotted = f"{resource.name}.{resource.namespace}" if resource.namespace else resource.name
        names = (f"{resource.kind.name} {dotted}", f"{resource.kind.name} {resource.full_name}", message.origin)
        pattern = self.resource.replace("[", "[[]").replace("?", "[?]")
        return any(fnmatchcase(name, pattern) for name in names)


def parse_suppression(text: str) -> Suppression | None:
    """`CODE=RESOURCE`; None for anything else."""
    code, equals, resource = text.partition("=")
    return Suppression(code, resource) if equals and "=" not in resource else None


def analyze(
    inputs: Inputs,
    moment: Moment,
    *,
    analyzers: Iterable[Analyzer] = ANALYZERS,
    suppressions: Iterable[Suppression] = (),
    namespace: str | None = None,
) -> tuple[Message, ...]:
    """The messages of all analyzers, worst first, each once, without what is suppressed.

    With a namespace: only those about its objects and about objects that are in none. An analyzer that breaks gives
    one message that says so and does not stop the others.
    """
    suppressed = tuple(suppressions)
    found = [
        message
        for analyzer in analyzers
        for message in _run(analyzer, inputs, moment)
        if _is_wanted(message, namespace) and not _is_suppressed(message, suppressed)
    ]
    return tuple({_identity(message): message for message in sorted(found, key=_order)}.values())


def _run(analyzer: Analyzer, inputs: Inputs, moment: Moment) -> list[Message]:
    messages: list[Message] = []
    try:
        messages.extend(analyzer.run(inputs, moment))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other analyzers have their say
        messages.append(Message(INTERNAL_ERROR, None, (f"{analyzer.name}: {type(error).__name__}: {error}",)))
    return messages


def _is_wanted(message: Message, namespace: str | None) -> bool:
    home = message.resource.namespace if message.resource is not None else ""
    return namespace is None or home in ("", namespace)


def _is_suppressed(message: Message, suppressions: tuple[Suppression, ...]) -> bool:
    resource = message.resource
    said = resource.annotations.get(_SUPPRESS, "") if resource is not None else ""
    codes = [code.strip() for code in said.split(",")]
    return "*" in codes or message.type.code in codes or any(one.covers(message) for one in suppressions)


def _order(message: Message) -> tuple[object, ...]:
    resource = message.resource
    name = (resource.kind.name, resource.name, resource.namespace) if resource is not None else ("", "", "")
    cluster = resource.cluster if resource is not None else ""
    return (cluster, message.type.level, message.type.code, *name, message.reference, message.text)


def _identity(message: Message) -> str:
    return message.log_line(show_cluster=True)


def worst_reaches(messages: Iterable[Message], threshold: Level) -> bool:
    """Whether some message is as bad as the threshold, or worse."""
    return any(message.type.level.reaches(threshold) for message in messages)


def at_least(messages: Iterable[Message], threshold: Level) -> tuple[Message, ...]:
    """The messages that are as bad as the threshold, or worse."""
    return tuple(message for message in messages if message.type.level.reaches(threshold))
