"""Looks up what a new object refers to, for the warnings that go back with it."""

from meshcore.hosts import DEFAULT_DOMAIN
from meshcore.model.kinds import NETWORKING
from meshcore.model.mesh_config import ROOT_NAMESPACE

from galley.adapters.store import Store
from galley.core.admission import Admitted
from galley.core.references import missing_subsets, subset_references


async def warnings(store: Store, admitted: Admitted) -> list[str]:
    """Warnings about references of an admitted object to others; none for kinds that refer to nothing."""
    if admitted.parsed.kind != "VirtualService":
        return []
    wanted = list(subset_references(admitted.normalised))
    if not wanted:
        return []
    own = admitted.parsed.metadata.namespace
    places = {own, ROOT_NAMESPACE, *(_namespace_of(host) for _, host, _ in wanted)} - {""}
    hosts = {host for _, host, _ in wanted}
    rules = await store.published_for_hosts(NETWORKING, "destinationrules", sorted(places), sorted(hosts))
    return missing_subsets(admitted.normalised, rules, DEFAULT_DOMAIN)


def _namespace_of(host: str) -> str:
    """`reviews.shop.svc.cluster.local` -> `shop`; "" for a host that is no service of a namespace."""
    parts = host.split(".")
    return parts[1] if len(parts) > 2 and parts[2] == "svc" else ""
