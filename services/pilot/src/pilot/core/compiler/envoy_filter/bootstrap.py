"""Patches of the bootstrap: they reach a proxy when it starts, by the agent that asks for them (Istio's BDS). Pure.

Pilot merges the patches with each other only: what they are merged into is the agent's, which has Envoy check it all.
"""

from envoy.config.bootstrap.v3 import bootstrap_pb2
from meshcore.errors import MeshError
from meshcore.model.envoy_filter import ApplyTo
from meshcore.xds.constraints import wrong_values
from meshcore.xds.merging import merge
from meshcore.xds.names import BOOTSTRAP_PATCH
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import BOOTSTRAP_TYPE

from pilot.core.compiler.cache import CompileCache
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.envoy_filter.patches import patches_of
from pilot.core.proxy import Proxy, classify
from pilot.core.snapshot import MeshSnapshot


def with_bootstrap(made: ResourceSet, snapshot: MeshSnapshot, proxy: Proxy) -> ResourceSet:
    """An agent's resources with the patches of its proxy's bootstrap, where there are some."""
    spaces = dict.fromkeys((snapshot.mesh_config.root_namespace, proxy.namespace))
    patched = any(
        patch.apply_to is ApplyTo.BOOTSTRAP
        for namespace in spaces
        for config in snapshot.envoy_filters(namespace)
        for patch in config.object.spec.config_patches
    )
    found = _patch(snapshot, proxy) if patched else None
    if found is None:
        return made
    return ResourceSet({**made.resources, BOOTSTRAP_TYPE: {found.name: found}}, made.diagnostics, made.secrets)


def _patch(snapshot: MeshSnapshot, proxy: Proxy) -> PackedResource | None:
    work = Compilation(snapshot, classify(proxy, snapshot.selection), CompileCache())
    whole = bootstrap_pb2.Bootstrap()
    refs = []
    for patch in patches_of(work).by_target.get(ApplyTo.BOOTSTRAP, ()):
        trial = bootstrap_pb2.Bootstrap()
        trial.CopyFrom(whole)
        try:
            merge(trial, patch.value)
        except MeshError:
            continue
        if next(wrong_values(patch.value), ""):
            continue
        whole = trial
        refs.append(patch.ref)
    return PackedResource.pack(BOOTSTRAP_TYPE, BOOTSTRAP_PATCH, whole, beside=tuple(refs)) if refs else None
