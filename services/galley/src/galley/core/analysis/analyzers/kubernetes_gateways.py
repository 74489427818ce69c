"""Gateway API: policies that cannot select its gateways, and definitions that are too old."""

import re
from collections.abc import Iterator

from meshcore.labels import selects

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix, add, remove
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import (
    AUTHORIZATION_POLICY,
    CUSTOM_RESOURCE_DEFINITION,
    REQUEST_AUTHENTICATION,
    TELEMETRY,
    WASM_PLUGIN,
)
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import INEFFECTIVE_SELECTOR, OLD_GATEWAY_API
from galley.core.analysis.reading import string_map
from galley.core.analysis.resource import Resource
from galley.core.analysis.workloads import GATEWAY_NAME

_POLICIES = (AUTHORIZATION_POLICY, REQUEST_AUTHENTICATION, TELEMETRY, WASM_PLUGIN)
_BUNDLE_VERSION = "gateway.networking.k8s.io/bundle-version"
_MINIMUM = {
    "grpcroutes.gateway.networking.k8s.io": (1, 1, 0),
    "backendtlspolicies.gateway.networking.k8s.io": (1, 4, 0),
    "tlsroutes.gateway.networking.k8s.io": (1, 5, 0),
    "tcproutes.gateway.networking.k8s.io": (1, 6, 0),
}
_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


def check_selectors(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Policies that mean pods of a Kubernetes Gateway by their labels: they need targetRefs."""
    for kind in _POLICIES:
        for policy in inputs.of(kind):
            if policy.spec.get("selector") is None or policy.spec.get("targetRef") is not None:
                continue
            selector = string_map(policy.spec, "selector", "matchLabels")
            gateways = dict.fromkeys(
                pod.labels[GATEWAY_NAME]
                for pod in inputs.pods_in(policy.namespace)
                if GATEWAY_NAME in pod.labels and selects(selector, pod.labels)
            )
            for name in gateways:
                line = policy.line_of("spec.selector")
                yield Message(INEFFECTIVE_SELECTOR, policy, (name,), line, _target(policy, name))


def _target(policy: Resource, name: str) -> Fix:
    target = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name}
    return Fix("Name the Gateway instead.", (remove("spec", "selector"), add([target], "spec", "targetRefs")))


def check_definitions(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Definitions of the Gateway API below the version from which their kinds are read."""
    for definition in inputs.of(CUSTOM_RESOURCE_DEFINITION):
        minimum = _MINIMUM.get(definition.name)
        found = _VERSION.fullmatch(definition.annotations.get(_BUNDLE_VERSION, ""))
        if minimum is None or found is None:
            continue
        version = tuple(int(part or 0) for part in found.groups()[:3])
        if version < minimum:
            installed = ".".join(map(str, version)) + (found[4] or "") + (found[5] or "")
            needed = ".".join(map(str, minimum))
            line = definition.line_of(f"metadata.annotations[{_BUNDLE_VERSION}]")
            fix = Fix(f"Install the Gateway API definitions of v{needed} or later.")
            yield Message(OLD_GATEWAY_API, definition, (definition.name, installed, needed), line, fix)
