"""Gateways that claim one host at one port of the same workloads."""

from collections.abc import Iterator, Mapping

from meshcore.labels import selects

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix
from galley.core.analysis.inputs import Inputs, selector_text
from galley.core.analysis.kinds import GATEWAY, POD
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import CONFLICTING_GATEWAYS
from galley.core.analysis.reading import mappings, number, string_map, text, texts

Labels = Mapping[str, str]
Claims = dict[int, dict[tuple[str, str], set[str]]]
"""For each port, and each host with its bind address: the gateways that claim it."""


def check_conflicts(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Hosts of a server that another gateway of the same workloads has at the same port and bind address."""
    selectors: dict[str, Labels] = {}
    claims: dict[str, Claims] = {}
    for gateway in inputs.of(GATEWAY):
        selector = string_map(gateway.spec, "selector")
        shown = selector_text(selector)
        selectors[shown] = selector
        for port, hosts, bind in _servers(gateway.spec):
            for host in hosts:
                at_port = claims.setdefault(shown, {}).setdefault(port, {})
                at_port.setdefault((host, bind), set()).add(gateway.full_name)
    pods = [pod.labels for pod in inputs.of(POD)]
    meeting = {
        shown: [other for other in claims if _meet(shown, selector, other, selectors[other], pods)]
        for shown, selector in selectors.items()
    }
    for gateway in inputs.of(GATEWAY):
        shown = selector_text(string_map(gateway.spec, "selector"))
        for index, (port, hosts, bind) in enumerate(_servers(gateway.spec)):
            others = sorted(
                {
                    name
                    for selector in meeting[shown]
                    for host in hosts
                    for name in claims[selector].get(port, {}).get((host, bind), ())
                }
                - {gateway.full_name}
            )
            if others:
                parameters = (",".join(others), shown, port, ",".join(hosts))
                fix = Fix("Let one Gateway have the host at this port, or give each another bind address.")
                yield Message(CONFLICTING_GATEWAYS, gateway, parameters, gateway.line_of(f"spec.servers[{index}]"), fix)


def _servers(spec: Mapping[str, object]) -> Iterator[tuple[int, tuple[str, ...], str]]:
    for _, server in mappings(spec, "servers"):
        yield number(server, "port", "number"), texts(server, "hosts"), text(server, "bind")


def _meet(shown: str, selector: Labels, other: str, other_selector: Labels, pods: list[Labels]) -> bool:
    """Whether two selectors are one, or one says more than the other and some pod has the labels of both."""
    if shown == other:
        return True
    if shown not in other and other not in shown:
        return False
    return any(selects(selector, labels) and selects(other_selector, labels) for labels in pods)
