"""The registry: services and endpoints of every provider in one frozen model. Pure.

Providers: `galley` (objects of the config API) and `registered` (workloads that registered over their agent's stream).
Endpoints are kept by (provider, cluster) and merged in that order.
"""

from pilot.core.registry.endpoint import Endpoint, Locality, ShardKey
from pilot.core.registry.service import Port, Resolution, Service, ServiceKey
from pilot.core.registry.workload import RegisteredWorkload, Workload

__all__ = [
    "Endpoint",
    "Locality",
    "Port",
    "RegisteredWorkload",
    "Resolution",
    "Service",
    "ServiceKey",
    "ShardKey",
    "Workload",
]
