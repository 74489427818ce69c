"""Destination rules: servers that nobody verifies, hosts that do not exist, subsets without workloads."""

from collections.abc import Iterable, Iterator, Mapping

from meshcore.labels import selects

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix, use_instead
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import DESTINATION_RULE, NODE, POD
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import (
    SUBSET_SELECTS_NOTHING,
    UNKNOWN_RULE_HOST,
    UNVERIFIED_SERVER,
    UNVERIFIED_SERVER_AT_PORT,
)
from galley.core.analysis.reading import mapping, mappings, number, string_map, text, texts
from galley.core.analysis.resource import Resource
from galley.core.analysis.service_hosts import KnownService, ServiceHosts

Labels = Mapping[str, str]

_VERIFIABLE = ("SIMPLE", "MUTUAL")
_REGION, _ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"
_SUBZONE, _HOSTNAME = "topology.istio.io/subzone", "kubernetes.io/hostname"
_VERIFY = Fix("Set caCertificates to the file of the server's root, or to `system` for the system's roots.")


def check_certificates(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """TLS to servers whose certificate nobody checks."""
    for rule in inputs.of(DESTINATION_RULE):
        policy = mapping(rule.spec, "trafficPolicy")
        host = text(rule.spec, "host")
        mode = _unverified(rule, policy)
        if mode:
            parameters = (rule.full_name, rule.namespace, mode, host)
            line = rule.line_of("spec.trafficPolicy.tls")
            yield Message(UNVERIFIED_SERVER, rule, parameters, line, _VERIFY)
        for index, settings in mappings(policy, "portLevelSettings"):
            mode = _unverified(rule, settings)
            if mode:
                port = f"number:{number(settings, 'port', 'number')}"
                line = rule.line_of(f"spec.trafficPolicy.portLevelSettings[{index}].tls")
                at_port = (rule.full_name, rule.namespace, mode, host, port)
                yield Message(UNVERIFIED_SERVER_AT_PORT, rule, at_port, line, _VERIFY)


def _unverified(rule: Resource, policy: Mapping[str, object]) -> str:
    """The TLS mode when it should verify and cannot; empty otherwise."""
    tls = mapping(policy, "tls")
    mode = text(tls, "mode")
    if mode not in _VERIFIABLE or text(tls, "caCertificates"):
        return ""
    by_secret = bool(text(tls, "credentialName")) and rule.spec.get("workloadSelector") is not None
    return "" if by_secret else mode


def check_subsets(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Rules for hosts that nobody knows, and subsets that select no workload."""
    hosts = ServiceHosts(inputs)
    workloads: _Workloads | None = None
    for rule in inputs.of(DESTINATION_RULE):
        host = text(rule.spec, "host")
        service = hosts.find(host, rule.namespace, texts(rule.spec, "exportTo"))
        if service is None:
            fix = use_instead(host, hosts.visible(rule.namespace), "spec", "host")
            yield Message(UNKNOWN_RULE_HOST, rule, (host,), rule.line_of("spec.host"), fix)
            continue
        if workloads is None:
            workloads = _Workloads(_workloads(inputs))
        yield from _check_subsets(rule, service, workloads)


def _check_subsets(rule: Resource, service: KnownService, workloads: "_Workloads") -> Iterator[Message]:
    for index, subset in mappings(rule.spec, "subsets"):
        selector = {**service.workload_selector, **string_map(subset, "labels")}
        if workloads.any_selected(selector) or any(selects(selector, labels) for labels in service.endpoint_labels):
            continue
        line = rule.line_of(f"spec.subsets[{index}]")
        yield Message(SUBSET_SELECTS_NOTHING, rule, (text(subset, "name"),), line)


class _Workloads:
    """Which workloads have a label, so that a selector asks only for those."""

    def __init__(self, workloads: Iterable[Labels]) -> None:
        self._having: dict[tuple[str, str], set[int]] = {}
        self._count = 0
        for number_of, labels in enumerate(workloads):
            self._count += 1
            for pair in labels.items():
                self._having.setdefault(pair, set()).add(number_of)

    def any_selected(self, selector: Labels) -> bool:
        """Whether a workload has all of these labels; every one has none at all."""
        sets = sorted((self._having.get(pair, set()) for pair in selector.items()), key=len)
        return bool(set.intersection(*sets)) if sets else self._count > 0


def _workloads(inputs: Inputs) -> Iterator[Labels]:
    """Labels of all workloads, each once; those of pods with what their node says of the place."""
    nodes = {node.name: node.labels for node in inputs.of(NODE)}
    seen: set[frozenset[tuple[str, str]]] = set()
    pods = ({**pod.labels, **_place(text(pod.spec, "nodeName"), nodes)} for pod in inputs.of(POD))
    others = (labels for found in inputs.workload_labels.values() for labels in found)
    for labels in (*pods, *others):
        key = frozenset(labels.items())
        if key not in seen:
            seen.add(key)
            yield labels


def _place(node: str, nodes: Mapping[str, Labels]) -> Labels:
    """Region, zone and subzone as far as they are said without a gap, and the host's name."""
    found = {_HOSTNAME: node} if node else {}
    for key in (_REGION, _ZONE, _SUBZONE):
        value = nodes.get(node, {}).get(key, "")
        if not value:
            break
        found[key] = value
    return found
