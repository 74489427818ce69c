"""Telemetry: selectors without pods, several for one pod or namespace, and providers that are missing or deprecated."""

from collections.abc import Iterator

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.analyzers.scoped_selection import Selection, names_of, pods_of, selects_nothing
from galley.core.analysis.fix import Fix, add
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import TELEMETRY
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import (
    CONFLICTING_TELEMETRIES,
    DEPRECATED,
    INVALID_TELEMETRY_PROVIDER,
    TELEMETRIES_WITHOUT_SELECTOR,
)
from galley.core.analysis.reading import at, items, mappings, string_map, text
from galley.core.analysis.resource import Resource


def check_providers(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Access logging for which neither the object nor the mesh names a provider."""
    if items(inputs.mesh_config, "defaultProviders", "accessLogging"):
        return
    for telemetry in inputs.of(TELEMETRY):
        without = [
            index
            for index, logging in mappings(telemetry.spec, "accessLogging")
            if at(logging, "disabled") is not True and not items(logging, "providers")
        ]
        if without:
            patch = tuple(add([{"name": "envoy"}], "spec", "accessLogging", index, "providers") for index in without)
            fix = Fix("Name a provider; `envoy` is the built-in one that writes to the proxy's output.", patch)
            line = telemetry.line_of(f"spec.accessLogging[{without[0]}]")
            parameters = (telemetry.name, telemetry.namespace)
            yield Message(INVALID_TELEMETRY_PROVIDER, telemetry, parameters, line, fix)


def check_selectors(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Selectors that no pod has, and pods that several objects select."""
    by_pod: dict[Resource, list[Resource]] = {}
    for telemetry in inputs.of(TELEMETRY):
        labels = string_map(telemetry.spec, "selector", "matchLabels")
        if not labels:
            continue
        selection = Selection(telemetry, labels, "spec.selector.matchLabels")
        pods = pods_of(selection, inputs)
        yield from selects_nothing(selection, pods, inputs)
        for pod in pods:
            by_pod.setdefault(pod, []).append(telemetry)
    for pod, telemetries in by_pod.items():
        if len(telemetries) > 1:
            for telemetry in telemetries:
                parameters = (names_of(telemetries), pod.namespace, pod.name)
                yield Message(CONFLICTING_TELEMETRIES, telemetry, parameters, telemetry.line_of("metadata.name"))


def check_defaults(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Namespaces with several objects that have no selector."""
    by_namespace: dict[str, list[Resource]] = {}
    for telemetry in inputs.of(TELEMETRY):
        if telemetry.spec.get("selector") is None:
            by_namespace.setdefault(telemetry.namespace, []).append(telemetry)
    for namespace, telemetries in by_namespace.items():
        if len(telemetries) > 1:
            for telemetry in telemetries:
                line = telemetry.line_of("metadata.name")
                yield Message(TELEMETRIES_WITHOUT_SELECTOR, telemetry, (names_of(telemetries), namespace), line)


def check_lightstep(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Tracing by Lightstep's own provider."""
    deprecated = {
        text(provider, "name")
        for _, provider in mappings(inputs.mesh_config, "extensionProviders")
        if provider.get("lightstep") is not None
    }
    for telemetry in inputs.of(TELEMETRY) if deprecated else ():
        used = dict.fromkeys(
            name
            for _, tracing in mappings(telemetry.spec, "tracing")
            for _, provider in mappings(tracing, "providers")
            if (name := text(provider, "name")) in deprecated
        )
        for name in used:
            fix = Fix("Send traces by an OpenTelemetry provider.")
            words = f"the Lightstep provider {name} is deprecated; use an OpenTelemetry provider"
            yield Message(DEPRECATED, telemetry, (words,), 0, fix)
