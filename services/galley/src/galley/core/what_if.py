"""What a change would mean for the whole config: the messages of analysis that come with it, and those that go. Pure.

The change is laid over the live config and both are analysed. What validation says of the changed objects is not said
again here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshcore.distribution.keys import Key
from meshcore.model.load import Document

from galley.core.analysis.analysis import analyze
from galley.core.analysis.analyzer import Moment
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import SCHEMA_ERROR, SCHEMA_WARNING
from galley.core.analysis.registry import ABOUT_ONE_OBJECT, BETWEEN_OBJECTS
from galley.core.analysis.resource import Resource, resource_of

Body = Mapping[str, Any]

_SAID_BY_VALIDATION = (SCHEMA_ERROR, SCHEMA_WARNING)


@dataclass(frozen=True, slots=True)
class Alteration:
    """One object of a change: its new document, or None when it goes away (with a Namespace all that is in it)."""

    key: Key
    document: Body | None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What analysis says of a change."""

    messages: tuple[Message, ...] = ()
    """About the changed objects, and whatever else was not said of the config before; worst first."""
    resolved: tuple[Message, ...] = ()
    """Said of the config now, and no more after the change."""


def what_if(live: Mapping[Key, Body], alterations: Sequence[Alteration], now: float) -> WhatIf:
    """Compare the live config with itself after the change; `now` in seconds since the epoch."""
    before = {key: found for key, body in live.items() if (found := _resource(body)) is not None}
    altered = {one.key: one.document for one in alterations}
    gone = {key.name for key, body in altered.items() if body is None and key.plural == "namespaces"}
    kept = {key: one for key, one in before.items() if key not in altered and key.namespace not in gone}
    ours = [found for body in altered.values() if body is not None and (found := _resource(body)) is not None]
    moment = Moment(now)
    was = analyze(Inputs(before.values()), moment, analyzers=BETWEEN_OBJECTS)
    will = [
        *analyze(Inputs([*kept.values(), *ours]), moment, analyzers=BETWEEN_OBJECTS),
        *(one for one in analyze(Inputs(ours), moment, analyzers=ABOUT_ONE_OBJECT) if _is_news(one)),
    ]
    said, says = {one.log_line() for one in was}, {one.log_line() for one in will}
    messages = [one for one in will if one.resource in ours or one.log_line() not in said]
    return WhatIf(
        tuple(sorted(messages, key=lambda one: one.type.level)),
        tuple(one for one in was if one.log_line() not in says),
    )


def warning_text(message: Message) -> str:
    """A message as one line, with its fix and the JSON patch of that, for clients that know nothing but warnings."""
    line, fix = message.log_line(), message.fix
    if fix is None:
        return line
    patch = f" {json.dumps([dict(operation) for operation in fix.patch])}" if fix.patch else ""
    return f"{line}; fix: {fix.description}{patch}"


def _resource(body: Body) -> Resource | None:
    return resource_of(Document("", 0, body), from_file=False)


def _is_news(message: Message) -> bool:
    return message.type not in _SAID_BY_VALIDATION
