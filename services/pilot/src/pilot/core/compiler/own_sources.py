"""Clusters of services for a class that calls from an address of its own (the one-machine topology). Pure.

In that address alone such classes differ, and it stands in every cluster: what services make is made once for all of
them, and the address is put behind the bytes.
"""

from dataclasses import replace
from functools import partial

from envoy.config.cluster.v3 import cluster_pb2

from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.messages import source_bind
from pilot.core.compiler.parts import Parts, derived
from pilot.core.registry import Service


def with_own_source(work: Compilation, parts: Parts) -> Parts:
    """The parts as the class has them; what is outside of the mesh is called from any address."""
    source = work.proxy_class.bind_address
    if not source:
        return parts
    bind = cluster_pb2.Cluster(upstream_bind_config=source_bind(source)).SerializeToString(deterministic=True)
    return derived(work, ("own source", source), parts, None, partial(_called_from, bind))


def _called_from(bind: bytes, service: Service, item: Compiled) -> Compiled:
    return item if service.external else replace(item, resource=item.resource.extended(bind))
