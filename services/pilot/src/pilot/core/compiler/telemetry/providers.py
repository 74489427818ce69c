"""The clusters behind the providers of the mesh config. Pure."""

from meshcore.model.extension_provider import ProviderService
from meshcore.xds.names import outbound_cluster

from pilot.core.compiler.context import Compilation


def provider_cluster(work: Compilation, service: ProviderService) -> str:
    """The cluster of a provider's service; empty when the class does not see it. Envoy refuses unknown clusters."""
    host = service.service.rpartition("/")[2].lower()
    found = work.scope.by_host.get(host)
    if found is None or found.port(service.port) is None:
        return ""
    return outbound_cluster(service.port, "", host)
