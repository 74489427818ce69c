"""Families of addresses, and how callers may spell a service."""

from collections.abc import Mapping
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from pilot.core.compiler.address_families import Families
from pilot.core.compiler.domains import Caller, domains_of
from pilot.core.ip_families import families_of
from pilot.core.node import parse_node
from pilot.core.registry import Service


def _lookup(given: Mapping[str, Any]) -> str:
    wanted = Families(families_of(given["proxyIPs"] or ()), given.get("dualStack", False)).lookup
    return str(cluster_pb2.Cluster.DnsLookupFamily.Name(wanted))


def _domains(given: Mapping[str, Any]) -> list[str]:
    node, described = given["node"], given["service"]
    cluster = node.get("metadata", {}).get("clusterID", "")
    addresses = described.get("clusterVIPs", {}).get("addresses", {}).get(cluster, ())
    kind = "ServiceEntry" if described.get("meshExternal") else "Service"
    service = Service(described["hostname"], "", described["hostname"], kind=kind, addresses=tuple(addresses))
    own = node.get("iPAddresses") or ["10.0.0.1"]
    proxy = parse_node({"id": f"sidecar~{own[0]}~a.b~{node['dnsDomain']}", "metadata": {"INSTANCE_IPS": ",".join(own)}})
    seen = service.seen_by(families_of(proxy.instance_ips), given=False)
    # the namespace of a caller is the first part of its DNS domain
    caller = Caller(node["dnsDomain"].partition(".")[0], proxy.domain, proxy.search)
    return list(domains_of(seen, (), caller))


TOPICS = {"dns-lookup-family": _lookup, "rds-virtual-host-domains": _domains}
