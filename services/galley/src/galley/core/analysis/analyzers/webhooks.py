"""Injection webhooks: those that take the same pods, and those whose control plane is not there."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import MUTATING_WEBHOOKS, SERVICE
from galley.core.analysis.label_selectors import selector_matches
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import INVALID_WEBHOOK
from galley.core.analysis.reading import mapping, mappings, text, texts
from galley.core.analysis.resource import Resource
from galley.core.analysis.workloads import INJECT, INJECTION_LABEL, REVISION_LABEL

Labels = Mapping[str, str]


def check_webhooks(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """All webhooks that are Istio's by their name or by a revision that they select."""
    revisions: dict[str, None] = {}
    webhooks: list[tuple[str, Mapping[str, Any], Resource]] = []
    for configuration in inputs.of(MUTATING_WEBHOOKS):
        hooks = [webhook for _, webhook in mappings(configuration.body, "webhooks")]
        own = _revisions(configuration, hooks)
        if own or any(text(hook, "name").endswith("istio.io") for hook in hooks):
            revisions |= dict.fromkeys(own)
            webhooks += [(f"{configuration.name}/{text(hook, 'name')}", hook, configuration) for hook in hooks]
    yield from _overlaps(webhooks, list(revisions))
    for _name, hook, configuration in webhooks:
        service = mapping(hook, "clientConfig", "service")
        home, name = text(service, "namespace"), text(service, "name")
        if service and inputs.find(SERVICE, home, name) is None:
            words = f"The injector refers to a control plane service that does not exist: {home}/{name}."
            yield Message(INVALID_WEBHOOK, configuration, (words,))


def _revisions(configuration: Resource, hooks: list[Mapping[str, Any]]) -> list[str]:
    found = [configuration.labels[REVISION_LABEL]] if REVISION_LABEL in configuration.labels else []
    for hook in hooks:
        for field in ("namespaceSelector", "objectSelector"):
            selector = mapping(hook, field)
            said = text(selector, "matchLabels", REVISION_LABEL)
            found += [said] if said else []
            for _, expression in mappings(selector, "matchExpressions"):
                if text(expression, "key") == REVISION_LABEL:
                    found += texts(expression, "values")
    return found


def _possible(label: str, values: tuple[str, str], revisions: list[str]) -> Iterator[Labels]:
    """The label absent and with each value, each without a revision and with every one."""
    for base in ({}, *({label: value} for value in values)):
        yield base
        for revision in revisions:
            yield {**base, REVISION_LABEL: revision}


def _overlaps(webhooks: list[tuple[str, Mapping[str, Any], Resource]], revisions: list[str]) -> Iterator[Message]:
    """Webhooks that some pod in some namespace would go through together; each set of others is reported once."""
    namespaces = _takers(webhooks, "namespaceSelector", _possible(INJECTION_LABEL, ("enabled", "disabled"), revisions))
    pods = _takers(webhooks, "objectSelector", _possible(INJECT, ("true", "false"), revisions))
    together = {by_namespace & by_pod for by_namespace, by_pod in product(namespaces, pods)}
    reported: set[tuple[Resource, str]] = set()
    for indexes in sorted(map(sorted, together)):
        for index in indexes if len(indexes) > 1 else ():
            name, _, configuration = webhooks[index]
            others = ", ".join(sorted({webhooks[other][0] for other in indexes} - {name}))
            if others and (configuration, others) not in reported:
                reported.add((configuration, others))
                words = f"The webhook takes pods that others take too: {others}. They may be injected twice."
                fix = Fix("Make the selectors of these webhooks exclude each other.")
                yield Message(INVALID_WEBHOOK, configuration, (words,), 0, fix)


def _takers(
    webhooks: list[tuple[str, Mapping[str, Any], Resource]], field: str, possible: Iterator[Labels]
) -> set[frozenset[int]]:
    """For each of the possible labels: the webhooks that one of their selectors takes them by; each set once."""
    return {
        frozenset(index for index, (_, hook, _) in enumerate(webhooks) if selector_matches(hook.get(field), labels))
        for labels in possible
    }
