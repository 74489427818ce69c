"""VirtualServices that route by a JWT's claims where nobody verifies the JWT."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshcore.labels import selects

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.analyzers.virtual_service_gateways import MESH, split_gateway
from galley.core.analysis.fix import Fix
from galley.core.analysis.inputs import ROOT_NAMESPACE, Inputs
from galley.core.analysis.kinds import GATEWAY, POD, REQUEST_AUTHENTICATION, VIRTUAL_SERVICE
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import CLAIM_ROUTE_WITHOUT_AUTHENTICATION
from galley.core.analysis.reading import mapping, mappings, string_map, texts

_CLAIM_PREFIXES = ("@request.auth.claims.", "@request.auth.claims[")


def check_claim_routes(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Gateway pods without a RequestAuthentication of their namespace or the root namespace."""
    policies: dict[str, list[Mapping[str, str]]] = {}
    for policy in inputs.of(REQUEST_AUTHENTICATION):
        selector = string_map(policy.spec, "selector", "matchLabels")
        policies.setdefault(policy.namespace, []).append(selector)
    for service in inputs.of(VIRTUAL_SERVICE):
        key = _claim_key(service.spec)
        for name in texts(service.spec, "gateways") if key else ():
            home, local = split_gateway(name, service.namespace)
            gateway = inputs.find(GATEWAY, home, local) if name != MESH else None
            if gateway is None:
                continue
            selector = string_map(gateway.spec, "selector")
            for pod in inputs.of(POD):
                if not selects(selector, pod.labels):
                    continue
                applying = [*policies.get(ROOT_NAMESPACE, ()), *policies.get(pod.namespace, ())]
                if not any(selects(policy, pod.labels) for policy in applying):
                    fix = Fix(f"Apply a RequestAuthentication to the pods of gateway {gateway.full_name}.")
                    parameters = (key, gateway.full_name, pod.name)
                    yield Message(CLAIM_ROUTE_WITHOUT_AUTHENTICATION, service, parameters, 0, fix)


def _claim_key(spec: Mapping[str, Any]) -> str:
    """The first header match that means a claim; empty without one."""
    for _, rule in mappings(spec, "http"):
        for _at, match in mappings(rule, "match"):
            for field in ("headers", "withoutHeaders"):
                for key in mapping(match, field):
                    if key.lower().startswith(_CLAIM_PREFIXES):
                        return key
    return ""
