"""Where a request would go and why: the walk of the simulator, each step with the objects that decided. Pure.

One implementation with the simulator: what `simulate` answers is what is explained, and the steps read the resources
that it went through.
"""

from dataclasses import dataclass, replace
from typing import Any

from meshcore.xds import registry
from meshcore.xds.names import PASSTHROUGH_CLUSTER
from meshcore.xds.origin import ConfigRef, Origins, distinct, origins_in
from meshcore.xds.resource import ResourceSet
from meshcore.xds.types import LISTENER_TYPE, ROUTE_TYPE

from pilot.core.proxy import Interception, Proxy, ProxyClass, ProxyType
from pilot.core.simulation.admission import admission
from pilot.core.simulation.calls import Call, Outcome
from pilot.core.simulation.question import Destination, Question, destination_of
from pilot.core.simulation.rbac_terms import Asked
from pilot.core.simulation.routes import missed_routes
from pilot.core.simulation.server_policies import PolicyVerdict, policy_step, refusal_of
from pilot.core.simulation.traffic import simulate
from pilot.core.simulation.upstream import Upstream, upstream_of
from pilot.core.simulation.walk import Miss, Step, action_of, fault_of, listed, route_label
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.scoping import Scope, scope_for

_UNKNOWN = {
    "allow_any": "is passed through to where it was going",
    "allow_any_dynamic_dns": "goes where its name leads",
    "block_all": "is answered with 502",
}
"""What becomes of hosts that nobody knows, by virtual host."""
REFUSED = 403
"""What the filters of policies answer."""


@dataclass(frozen=True)
class Explanation:
    """The steps in order, and what comes of the request.

    `shares` are the clusters with their percentages; `status` is what the proxy answers by itself (0: an endpoint
    answers); `verdict` says it in words.
    """

    source: str
    request: str
    steps: tuple[Step, ...]
    verdict: str
    shares: tuple[tuple[str, float], ...] = ()
    endpoints: tuple[str, ...] = ()
    status: int = 0
    works: bool = False
    """Whether some endpoint would get the request."""
    policies: tuple[PolicyVerdict, ...] = ()
    """What the policies on the way say: of the gateway that is asked, then of the called workloads."""

    @property
    def configs(self) -> Origins:
        """Every object that decided something, in the order of the walk."""
        return distinct(config for step in self.steps for config in step.configs)

    def document(self) -> dict[str, Any]:
        """As JSON: objects as `<kind>/<namespace>/<name>@<revision>`."""
        return {
            "from": self.source,
            "to": self.request,
            "steps": [
                {
                    "at": step.at,
                    "text": step.text,
                    "configs": [str(config) for config in step.configs],
                    "misses": [
                        {"route": miss.route, "why": miss.why, "configs": [str(config) for config in miss.configs]}
                        for miss in step.misses
                    ],
                    "problem": step.problem,
                }
                for step in self.steps
            ],
            "clusters": [{"name": name, "share": share} for name, share in self.shares],
            "endpoints": list(self.endpoints),
            "status": self.status,
            "works": self.works,
            "verdict": self.verdict,
            "policies": [verdict.document() for verdict in self.policies],
        }


def explain(
    snapshot: MeshSnapshot, proxy: Proxy, one: ProxyClass, resources: ResourceSet, question: Question
) -> Explanation:
    """What the proxy, whose class is `one` and which has these resources, does with the request, and why."""
    registry.load()
    scope = scope_for(snapshot, one)
    found = destination_of(question, snapshot, one, scope)
    call = _call(question, found, one)
    outcome = simulate(resources, call)
    steps = [_source_step(proxy, one, scope, snapshot), _destination_step(question, found, scope)]
    steps += _downstream_steps(resources, outcome, call)
    asked = _asked(question, call, proxy)
    own = _own_policies(one, resources, outcome, asked)
    steps += map(policy_step, own)
    refused = refusal_of(own, is_http=call.is_http)
    tail = Upstream([], refused, False) if refused else upstream_of(snapshot, one, resources, outcome, asked)
    steps += tail.steps
    verdict, works = tail.verdict, tail.works
    policies = (*own, *tail.policies)
    status = REFUSED if (refused or refusal_of(tail.policies, is_http=True)) and call.is_http else outcome.status
    share, answered = fault_of(outcome.message) if outcome.message is not None else (0.0, 0)
    if share >= 100:
        verdict, works, status = f"an injected fault answers {answered}", False, answered
    endpoints = tuple(sorted({address for group in outcome.endpoints.values() for address in group}))
    return Explanation(
        f"{proxy.id} ({one.type.value})",
        str(question),
        tuple(steps),
        verdict,
        tuple(sorted(outcome.shares.items(), key=lambda item: (-item[1], item[0]))),
        endpoints,
        status,
        works,
        policies,
    )


def _call(question: Question, found: Destination, one: ProxyClass) -> Call:
    tls = question.scheme == "https"
    by_protocol = found.port is not None and not (found.port.protocol.is_http or found.port.protocol.name == "AUTO")
    captured = one.interception is not Interception.NONE
    addresses = found.service.addresses if found.service is not None else ()
    address = next((item for item in addresses if "/" not in item), "") if captured else ""
    is_http = question.scheme != "tcp" and not tls and not by_protocol
    host = question.host.rstrip(".").lower()
    return Call(
        host=host,
        port=found.number,
        path=question.path,
        method=question.method,
        headers=question.headers,
        address=address,
        is_http=is_http,
        tls=tls,
        sni=host if tls else "",
    )


def _asked(question: Question, call: Call, proxy: Proxy) -> Asked:
    """The request as it leaves the proxy: from its address, and without an identity that it may yet get."""
    port = f":{call.port}" if question.port or call.port not in (80, 443) else ""
    return Asked(
        source_ip=next(iter(proxy.instance_ips), ""),
        is_http=call.is_http,
        method=call.method,
        host=f"{call.host}{port}",
        path=call.path,
        headers={name.lower(): text for name, text in call.headers.items()},
        server_name=call.sni,
    )


def _own_policies(one: ProxyClass, resources: ResourceSet, outcome: Outcome, asked: Asked) -> tuple[PolicyVerdict, ...]:
    """Of a gateway: it meets its own policies first, those of a caller from outside whose address is not known."""
    if one.type is not ProxyType.ROUTER or outcome.chain_message is None:
        return ()
    found = admission(outcome.chain_message, replace(asked, source_ip=""))
    if not found.configs and not found.notes:
        return ()
    known = resources.of_type(LISTENER_TYPE)[outcome.listener].origins
    found = replace(found, configs=_versioned(found.configs, known))
    return (PolicyVerdict(f"{one.namespace}/{one.service_account or 'default'}", (outcome.listener,), found),)


def _source_step(proxy: Proxy, one: ProxyClass, scope: Scope, snapshot: MeshSnapshot) -> Step:
    account = f", service account {one.service_account}" if one.service_account else ""
    capture = (
        "its requests go through the HTTP proxy" if one.interception is Interception.NONE else "traffic is captured"
    )
    sees = f"sees {len(scope.services)} of {len(snapshot.registry.services)} services"
    sidecar = (scope.sidecar.ref,) if scope.sidecar is not None else ()
    return Step("workload", f"{proxy.id}{account}: {capture}; {sees}", sidecar)


def _destination_step(question: Question, found: Destination, scope: Scope) -> Step:
    if found.service is not None:
        service = found.service
        if found.port is None:
            ports = ", ".join(str(port.number) for port in service.ports)
            return Step("service", f"{service.host} has no port {found.number}; it has {ports}", (service.ref,))
        text = f"{question.host} is {service.host}, port {found.number} ({found.port.protocol.name})"
        return Step("service", text, (service.ref,))
    configs: Origins = ()
    if found.hidden is not None:
        configs = (found.hidden.ref, *((scope.sidecar.ref,) if scope.sidecar is not None else ()))
    return Step("service", found.why, configs)


def _downstream_steps(resources: ResourceSet, outcome: Outcome, call: Call) -> list[Step]:
    if not outcome.listener:
        where = f"{call.address or '*'}:{call.port}"
        return [Step("listener", f"no listener takes connections to {where}: they are refused")]
    listener = resources.of_type(LISTENER_TYPE)[outcome.listener]
    steps = [Step("listener", f"{outcome.listener} takes connections to port {call.port}", listener.origins)]
    chain = outcome.chain_message
    if chain is None:
        return [*steps, Step("filter chain", "none of the listener's matches: the connection is refused")]
    kind = "HTTP" if outcome.route_config or outcome.status == 404 else "TCP"
    label = f" {outcome.filter_chain}" if outcome.filter_chain else ""
    made_by = _versioned(origins_in(chain.metadata), listener.origins)
    steps.append(Step("filter chain", f"the{label} {kind} chain, which matches {_matched(chain)}", made_by))
    if outcome.route_config:
        steps += _route_steps(resources, outcome, call)
    elif kind == "HTTP":
        steps.append(Step("virtual host", "the listener's routes are not there: 404"))
    return steps


def _route_steps(resources: ResourceSet, outcome: Outcome, call: Call) -> list[Step]:
    name, host = outcome.route_config, outcome.host_message
    if host is None:
        if outcome.virtual_host:
            return [Step("virtual host", f"{outcome.virtual_host} of {name} takes HTTPS only: {outcome.status}")]
        return [Step("virtual host", f"no virtual host of {name} has the host {call.host}: {outcome.status}")]
    whole = resources.of_type(ROUTE_TYPE).get(name)
    known = whole.origins if whole is not None else ()
    made_by = _versioned(origins_in(host.metadata), known)
    text = f"{host.name} of {name} has the host {call.host}"
    if host.name in _UNKNOWN:
        rest, cluster = _UNKNOWN[host.name], host.routes[0].route.cluster
        if host.name == "allow_any" and cluster != PASSTHROUGH_CLUSTER:
            rest = f"goes to the egress proxy, {cluster}"
        text = f"nobody of {name} has the host {call.host}: it falls to {host.name}, so it {rest}"
    steps = [Step("virtual host", text, made_by)]
    missed = [
        Miss(route_label(route), why, _versioned(origins_in(route.metadata), known))
        for route, why in missed_routes(host, replace(call, path=outcome.path))
    ]
    route = outcome.message
    if route is None:
        return [*steps, Step("route", f"none of {len(host.routes)} routes matches: 404", made_by, tuple(missed))]
    decided = _versioned(origins_in(route.metadata), known) or made_by
    steps.append(Step("route", f"{route_label(route)}: {action_of(route, outcome)}", decided, tuple(missed)))
    return steps


def _matched(chain: Any) -> str:
    match = chain.filter_chain_match
    parts = [f"port {match.destination_port.value}"] if match.HasField("destination_port") else []
    parts += [f"addresses {listed(f'{r.address_prefix}/{r.prefix_len.value}' for r in match.prefix_ranges)}"] * bool(
        match.prefix_ranges
    )
    parts += [f"server name {listed(match.server_names)}"] * bool(match.server_names)
    parts += [{"tls": "TLS", "raw_buffer": "plaintext"}.get(match.transport_protocol, "")]
    parts += [f"protocol {listed(match.application_protocols)}"] * bool(match.application_protocols)
    return ", ".join(part for part in parts if part) or "everything"


def _versioned(origins: Origins, known: Origins) -> Origins:
    """Names without a revision with that of the whole resource's."""
    revisions: dict[ConfigRef, ConfigRef] = {origin.unversioned: origin for origin in known}
    return tuple(revisions.get(origin.unversioned, origin) for origin in origins)
