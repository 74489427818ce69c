"""A Sidecar with its namespaces in full: `./host` and `~./host` name the namespace that they mean."""

from meshcore.model.sidecar import OutboundTrafficPolicy, Sidecar

from galley.core.kind_rules import Naming


def normalize(sidecar: Sidecar, naming: Naming) -> Sidecar:
    """The form that consumers read; normalising it again changes nothing."""
    namespace = sidecar.metadata.namespace
    egress = tuple(
        listener.model_copy(update={"hosts": tuple(_full(host, namespace) for host in listener.hosts)})
        for listener in sidecar.spec.egress
    )
    policy = _with_full_host(sidecar.spec.outbound_traffic_policy, namespace, naming)
    spec = sidecar.spec.model_copy(update={"egress": egress, "outbound_traffic_policy": policy})
    return sidecar.model_copy(update={"spec": spec})


def _full(host: str, namespace: str) -> str:
    place, slash, name = host.partition("/")
    excluded = "~" if place.startswith("~") else ""
    return f"{excluded}{namespace}{slash}{name}" if place.removeprefix("~") == "." else host


def _with_full_host(
    policy: OutboundTrafficPolicy | None, namespace: str, naming: Naming
) -> OutboundTrafficPolicy | None:
    if policy is None or policy.egress_proxy is None:
        return policy
    proxy = policy.egress_proxy.model_copy(update={"host": naming.fqdn(policy.egress_proxy.host, namespace)})
    return policy.model_copy(update={"egress_proxy": proxy})
