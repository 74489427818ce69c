"""The names of a proxy's own workload and of those it meets. Pure."""

from meshcore.workload_names import WorkloadNames, names_of

from pilot.core.proxy import ProxyClass
from pilot.core.registry import Endpoint
from pilot.core.selection import WORKLOAD_NAME

PEER = "meshcore.peer"
"""The namespace of metadata: of a request, what the caller says of itself; of an endpoint, what Pilot says of it."""


def own_names(one: ProxyClass) -> WorkloadNames:
    """Those of a proxy's workload."""
    return names_of(dict(one.metadata).get(WORKLOAD_NAME, ""), one.namespace, one.label_map, one.cluster)


def names_of_endpoint(endpoint: Endpoint) -> WorkloadNames:
    """Those of whoever is there."""
    return names_of(endpoint.workload, endpoint.namespace, endpoint.labels, endpoint.cluster)
