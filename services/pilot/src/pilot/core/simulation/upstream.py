"""The far half of an explanation: clusters, endpoints, mTLS on both sides, and why nothing answers. Pure."""

from dataclasses import replace
from typing import Any, NamedTuple

from meshcore.errors import MeshError
from meshcore.labels import selects
from meshcore.model.peer_authentication import MtlsMode
from meshcore.xds.names import (
    ALLOW_ANY_DYNAMIC_DNS_CLUSTER,
    BLACK_HOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    PASSTHROUGH_CLUSTER,
    ClusterName,
    cluster_sni,
    parse_cluster_name,
)
from meshcore.xds.origin import Origins, distinct
from meshcore.xds.resource import ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE

from pilot.core.compiler.cache import CompileCache
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.tls import trust_domains
from pilot.core.proxy import ProxyClass
from pilot.core.registry import Endpoint, Service
from pilot.core.simulation.calls import Outcome
from pilot.core.simulation.listeners import named
from pilot.core.simulation.rbac_terms import Asked
from pilot.core.simulation.rewriting import rewritten_host, rewritten_path
from pilot.core.simulation.server_policies import PolicyVerdict, policy_step, refusal_of, server_verdicts
from pilot.core.simulation.walk import Step, listed
from pilot.core.snapshot import MeshSnapshot

_CATCH_ALL = {ALLOW_ANY_DYNAMIC_DNS_CLUSTER, PASSTHROUGH_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER, BLACK_HOLE_CLUSTER}


class Upstream(NamedTuple):
    """Steps from the cluster on, the verdict in words, whether an endpoint gets the request, and what the policies of
    the endpoints say."""

    steps: list[Step]
    verdict: str
    works: bool
    policies: tuple[PolicyVerdict, ...] = ()


def upstream_of(
    snapshot: MeshSnapshot, one: ProxyClass, resources: ResourceSet, outcome: Outcome, asked: Asked
) -> Upstream:
    """The far half; `asked` is the request as it leaves the caller."""
    if outcome.refused:
        return Upstream([], "the connection is refused", False)
    if not outcome.shares:
        where = f" to {outcome.location}" if outcome.location else ""
        return Upstream([], f"the proxy itself answers {outcome.status}{where}", False)
    work = Compilation(snapshot, one, CompileCache())
    steps: list[Step] = []
    verdicts: list[str] = []
    works = False
    policies: tuple[PolicyVerdict, ...] = ()
    for name, share in sorted(outcome.shares.items(), key=lambda item: (-item[1], item[0])):
        made, verdict, good = _of_cluster(work, resources, name, outcome)
        steps += made
        if good:
            said, refused = _policies(work, resources, name, outcome, asked)
            steps += map(policy_step, said)
            policies += said
            verdict, good = (refused, False) if refused else (verdict, good)
        verdicts.append(f"{share:g} %: {verdict}" if len(outcome.shares) > 1 else verdict)
        works = works or good
    return Upstream(steps, "; ".join(verdicts), works, policies)


def _policies(
    work: Compilation, resources: ResourceSet, name: str, outcome: Outcome, asked: Asked
) -> tuple[tuple[PolicyVerdict, ...], str]:
    """What the servers' policies say, and the words when all of them refuse."""
    service = _service_of(work, name)
    if name in _CATCH_ALL or service is None or service.external:
        return (), ""
    parsed = parse_cluster_name(name)
    mutual = _client_words(resources, name, named(resources, CLUSTER_TYPE, name)).startswith("mesh mTLS")
    one, route = work.proxy_class, outcome.message
    identity = f"spiffe://{trust_domains(work.mesh)[0]}/ns/{one.namespace}/sa/{one.service_account or 'default'}"
    at_door = replace(
        asked,
        principal=identity if mutual else "",
        server_name=cluster_sni(parsed.port, parsed.subset, parsed.host) if mutual else "",
        path=asked.path if route is None else rewritten_path(route, outcome.path),
        host=asked.host if route is None else rewritten_host(route, name, asked.host),
    )
    verdicts = server_verdicts(work.snapshot, _servers(work, service, name), at_door, mutual=mutual)
    return verdicts, refusal_of(verdicts, is_http=route is not None)


def _servers(work: Compilation, service: Service, name: str) -> list[Endpoint]:
    """The healthy endpoints of a cluster."""
    parsed = parse_cluster_name(name)
    port = service.port(parsed.port)
    subset = work.rule(service).subset(parsed.subset) if parsed.subset else None
    return [
        item
        for item in work.endpoints(service)
        if item.healthy
        and (port is None or item.port_name == port.name)
        and (subset is None or selects(subset.labels, item.labels))
    ]


def _of_cluster(work: Compilation, resources: ResourceSet, name: str, outcome: Outcome) -> tuple[list[Step], str, bool]:
    if name in _CATCH_ALL:
        return _of_catch_all(resources, name)
    packed = resources.of_type(CLUSTER_TYPE).get(name)
    if packed is None:
        return _of_missing(work, name)
    cluster = named(resources, CLUSTER_TYPE, name)
    service = _service_of(work, name)
    steps = [Step("cluster", f"{name}: {_discovery(cluster)}", packed.origins)]
    if _discovery(cluster).startswith("the address"):
        return steps, f"it goes to {_discovery(cluster)}", True
    assignment = resources.of_type(ENDPOINT_TYPE).get(name)
    origins = assignment.origins if assignment is not None else packed.origins
    addresses = outcome.endpoints.get(name, ())
    if not addresses:
        why = _why_empty(work, resources, name, cluster, service)
        return [*steps, Step("endpoints", why, origins, problem=True)], f"503, no healthy endpoint: {why}", False
    steps.append(Step("endpoints", f"{len(addresses)} healthy: {listed(addresses)}", origins))
    tls, bad = _mtls_step(work, resources, name, cluster, service)
    steps += tls
    if bad:
        return steps, f"503, the connection is refused: {bad}", False
    return steps, f"one of {len(addresses)} endpoints of {name} answers", True


def _of_catch_all(resources: ResourceSet, name: str) -> tuple[list[Step], str, bool]:
    packed = resources.of_type(CLUSTER_TYPE).get(name)
    origins = packed.origins if packed is not None else ()
    if name == BLACK_HOLE_CLUSTER:
        step = Step("cluster", f"{name}: the connection is closed", origins, problem=True)
        return [step], "nobody answers: the mesh lets nothing out that it does not know", False
    where = "where its name leads" if name == ALLOW_ANY_DYNAMIC_DNS_CLUSTER else "the address that was dialled"
    return (
        [Step("cluster", f"{name}: to {where}", origins)],
        "it leaves the mesh's knowledge",
        True,
    )


def _of_missing(work: Compilation, name: str) -> tuple[list[Step], str, bool]:
    """Envoy answers 503 for a cluster that it does not know."""
    try:
        parsed = parse_cluster_name(name)
    except MeshError:
        return [Step("cluster", f"{name} does not exist", problem=True)], f"503, {name} does not exist", False
    why, configs = _missing(work, parsed)
    return [Step("cluster", f"{name} does not exist: {why}", configs, problem=True)], f"503, {why}", False


def _missing(work: Compilation, parsed: ClusterName) -> tuple[str, Origins]:
    service = work.scope.by_host.get(parsed.host)
    if service is None:
        elsewhere = work.snapshot.registry.by_host.get(parsed.host, ())
        if elsewhere:
            return f"the host {parsed.host} is not visible to this workload", (elsewhere[0].ref,)
        return f"no service has the host {parsed.host}", ()
    if service.port(parsed.port) is None:
        ports = ", ".join(str(port.number) for port in service.ports)
        return f"{parsed.host} has no port {parsed.port}; it has {ports}", (service.ref,)
    rule = work.rule(service)
    refs = tuple(config.ref for config in rule.configs)
    if parsed.subset and rule.subset(parsed.subset) is None:
        subsets = ", ".join(subset.name for subset in rule.subsets) or "none"
        return f"{parsed.host} has no subset {parsed.subset!r}; its subsets: {subsets}", (*refs, service.ref)
    return "it has no endpoint that could be resolved", (service.ref, *refs)


def _service_of(work: Compilation, name: str) -> Service | None:
    try:
        return work.scope.by_host.get(parse_cluster_name(name).host)
    except MeshError:
        return None


def _discovery(cluster: Any) -> str:
    if cluster.type == cluster.ORIGINAL_DST:
        return "the address that was dialled"
    if cluster.HasField("cluster_type"):
        return "the address to which its name leads"
    return {
        cluster.EDS: "endpoints of the registry",
        cluster.STRICT_DNS: "every address of a DNS name",
        cluster.LOGICAL_DNS: "one address of a DNS name at a time",
    }.get(cluster.type, "a fixed address")


def _why_empty(work: Compilation, resources: ResourceSet, name: str, cluster: Any, service: Service | None) -> str:
    parsed = parse_cluster_name(name)
    if service is None:
        return f"{name} has none"
    everyone = work.endpoints(service)
    if not everyone:
        chosen = f" with labels {_labels(service.selector)}" if service.selector else ""
        return f"{service.host} has no endpoint: no workload{chosen} is there"
    port = service.port(parsed.port)
    of_port = [item for item in everyone if port is None or item.port_name == port.name]
    subset = work.rule(service).subset(parsed.subset) if parsed.subset else None
    selected = [item for item in of_port if subset is None or selects(subset.labels, item.labels)]
    if subset is not None and not selected:
        return (
            f"none of the {len(of_port)} endpoints has the labels of subset {subset.name} ({_labels(subset.labels)}); "
            f"there are {_variants(of_port, subset.labels)}"
        )
    unwell = sum(1 for item in selected if not item.healthy)
    return f"all {unwell} endpoints are unhealthy" if unwell else f"none of {len(everyone)} endpoints has this port"


def _labels(labels: Any) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def _variants(endpoints: list[Endpoint], labels: Any) -> str:
    found = {_labels({key: item.labels[key] for key in labels if key in item.labels}) or "none" for item in endpoints}
    return " / ".join(sorted(found))


def _mtls_step(
    work: Compilation, resources: ResourceSet, name: str, cluster: Any, service: Service | None
) -> tuple[list[Step], str]:
    """What the client speaks and what the server's policies ask for; and why that cannot work, if it cannot."""
    parsed = parse_cluster_name(name)
    if service is None or service.external:
        return [Step("transport", f"the client speaks {_client_words(resources, name, cluster)}")], ""
    servers = _servers(work, service, name)
    modes: dict[MtlsMode, int] = {}
    deciders: list[Any] = []
    for item in servers:
        policies = work.mtls(item.namespace)
        mode = policies.mode(item.labels, item.port)
        modes[mode] = modes.get(mode, 0) + 1
        deciders += policies.decider(item.labels, item.port)
    spoken = _client_words(resources, name, cluster)
    asked = ", ".join(
        f"{mode.name} ({count})" if len(modes) > 1 else mode.name for mode, count in sorted(modes.items())
    )
    rule = work.rule(service)
    by_rule = rule.makers(parsed.subset) if rule.policy_of(parsed.port, parsed.subset).tls is not None else ()
    text = f"the client speaks {spoken}, the server takes {asked or 'PERMISSIVE'}"
    configs = distinct((*by_rule, *deciders))
    meshed = any(item.tls_mode == "istio" for item in servers)
    if modes.get(MtlsMode.STRICT) == len(servers) and spoken == "plaintext" and meshed:
        return [Step("transport", text, configs, problem=True)], "the client speaks plaintext and the server wants mTLS"
    if modes.get(MtlsMode.DISABLE) == len(servers) and spoken == "mesh mTLS":
        return [Step("transport", text, configs, problem=True)], "the client speaks mTLS and the server takes none"
    return [Step("transport", text, configs)], ""


def _client_words(resources: ResourceSet, name: str, cluster: Any) -> str:
    """mTLS, TLS or plaintext, as the cluster's sockets and its endpoints' metadata decide."""
    if cluster.transport_socket_matches:
        assignment = named(resources, ENDPOINT_TYPE, name) or cluster.load_assignment
        hosts = [host for group in assignment.endpoints for host in group.lb_endpoints]
        mutual = sum(
            "tlsMode" in host.metadata.filter_metadata["envoy.transport_socket_match"].fields for host in hosts
        )
        if mutual == len(hosts):
            return "mesh mTLS"
        return "plaintext" if not mutual else f"mesh mTLS to {mutual} of {len(hosts)}"
    if not cluster.transport_socket.name:
        return "plaintext"
    return "mesh mTLS" if b"default" in cluster.transport_socket.typed_config.value else "TLS"
