"""The external authorizers that CUSTOM policies name, as this class of proxies can reach them. Pure."""

from meshcore.model.extension_provider import ExtAuthzGrpc
from meshcore.xds.names import outbound_cluster

from pilot.core.compiler.authorization.ext_authz import Provider, fault_of, settings_of
from pilot.core.compiler.context import Compilation

_NOTHING = ExtAuthzGrpc()


def provider_of(work: Compilation, name: str) -> Provider:
    """The provider of that name; one that cannot be used says why."""
    found = next((item for item in work.mesh.extension_providers if item.name == name), None)
    if found is None:
        return Provider(name, _NOTHING, problem="no extension provider of the mesh config has that name")
    settings = settings_of(found)
    if settings is None:
        return Provider(name, _NOTHING, problem="it is no provider of authorization")
    if fault := fault_of(settings):
        return Provider(name, settings, problem=fault)
    cluster = _cluster(work, settings)
    if not cluster:
        seen = f"the proxy sees no service {settings.service} with port {settings.port}"
        return Provider(name, settings, problem=seen)
    return Provider(name, settings, cluster)


def _cluster(work: Compilation, settings: ExtAuthzGrpc) -> str:
    """Envoy refuses a filter that names a cluster it does not have."""
    namespace, _, host = settings.service.lower().rpartition("/")
    found = work.scope.by_host.get(host)
    if found is None or found.port(settings.port) is None or namespace not in ("", found.namespace):
        return ""
    return outbound_cluster(settings.port, "", host)
