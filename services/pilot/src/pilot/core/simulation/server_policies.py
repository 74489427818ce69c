"""What the policies of the called workloads say of a request: the far door of an explanation. Pure.

The inbound listeners of each kind of workload behind a cluster are built as its own proxy would have them, without what
EnvoyFilters and extensions change in them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from meshcore.xds.resource import ResourceSet

from pilot.core.compiler.authentication import authenticated
from pilot.core.compiler.authorization import authorized
from pilot.core.compiler.cache import CompileCache
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.listeners_inbound import inbound_listeners
from pilot.core.proxy import Proxy, ProxyClass, ProxyType, classify
from pilot.core.registry import Endpoint
from pilot.core.simulation.admission import Admission, Decision, admission
from pilot.core.simulation.calls import ISTIO, Arrival
from pilot.core.simulation.rbac_terms import Asked
from pilot.core.simulation.traffic import arrive
from pilot.core.simulation.walk import Miss, Step, listed
from pilot.core.snapshot import MeshSnapshot

_HTTP = ("istio-http/1.1",)


@dataclass(frozen=True)
class PolicyVerdict:
    """What the workloads of one kind, at these addresses (`address:port`, or a listener of a gateway), say."""

    workload: str
    addresses: tuple[str, ...]
    admission: Admission

    def document(self) -> dict[str, Any]:
        """As JSON."""
        found = self.admission
        return {
            "workload": self.workload,
            "addresses": list(self.addresses),
            "decision": found.decision.value,
            "rule": found.rule,
            "why": found.why,
            "configs": [str(config) for config in found.configs],
            "misses": [{"rule": miss.rule, "why": miss.why, "configs": [str(miss.config)]} for miss in found.misses],
            "notes": list(found.notes),
        }


def server_verdicts(
    snapshot: MeshSnapshot, servers: Iterable[Endpoint], asked: Asked, *, mutual: bool
) -> tuple[PolicyVerdict, ...]:
    """One verdict for each kind of workload among the servers; none where no policy counts."""
    kinds: dict[tuple[ProxyClass, int], list[Endpoint]] = {}
    for server in servers:
        kinds.setdefault((_class_of(snapshot, server), server.port), []).append(server)
    found = []
    for (one, port), members in kinds.items():
        at_door = replace(asked, destination_ip=members[0].address, destination_port=port)
        made = _admission(snapshot, one, at_door, mutual=mutual)
        if made is not None:
            name = f"{one.namespace}/{one.service_account or 'default'}"
            addresses = tuple(sorted(f"{item.address}:{item.port}" for item in members))
            found.append(PolicyVerdict(name, addresses, made))
    return tuple(sorted(found, key=lambda verdict: verdict.addresses))


def policy_step(verdict: PolicyVerdict) -> Step:
    """The verdict as a step of an explanation."""
    found = verdict.admission
    notes = "".join(f"; {note}" for note in found.notes)
    misses = tuple(Miss(miss.rule, miss.why, (miss.config,)) for miss in found.misses)
    text = f"{found.decision.value} at {listed(verdict.addresses)}: {found.why}{notes}"
    return Step("policy", text, found.configs, misses, problem=found.denied)


def refusal_of(verdicts: tuple[PolicyVerdict, ...], *, is_http: bool) -> str:
    """Why nobody answers; empty when somebody may."""
    if not verdicts or not all(verdict.admission.denied for verdict in verdicts):
        return ""
    how = "403" if is_http else "the connection is closed"
    return f"{how}, refused by policy: {verdicts[0].admission.why}"


def _class_of(snapshot: MeshSnapshot, server: Endpoint) -> ProxyClass:
    proxy = Proxy(
        id=f"{server.address}.{server.namespace}",
        type=ProxyType.SIDECAR,
        namespace=server.namespace,
        service_account=server.service_account,
        labels=server.labels,
        instance_ips=(server.address,),
    )
    return classify(proxy, snapshot.selection)


def _admission(snapshot: MeshSnapshot, one: ProxyClass, asked: Asked, *, mutual: bool) -> Admission | None:
    work = Compilation(snapshot, one, CompileCache())
    compiled = list(authorized(work, authenticated(work, inbound_listeners(work))))
    resources = ResourceSet.of([item.resource for item in compiled])
    alpn = (_HTTP if asked.is_http else ISTIO) if mutual else ()
    met = arrive(resources, Arrival(asked.destination_port, tls=mutual, alpn=alpn, is_http=asked.is_http))
    if met.chain_message is None:
        return None
    found = admission(met.chain_message, asked)
    if found.decision is Decision.ALLOWED and not found.configs and not found.notes:
        return None  # no policy counts
    known = {
        origin.unversioned: origin
        for item in resources.resources.values()
        for one in item.values()
        for origin in one.origins
    }
    configs = tuple(known.get(config, config) for config in found.configs)
    misses = tuple(replace(miss, config=known.get(miss.config, miss.config)) for miss in found.misses)
    return replace(found, configs=configs, misses=misses)
