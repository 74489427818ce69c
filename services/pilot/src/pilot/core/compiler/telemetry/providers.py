"""The clusters behind the providers of the mesh config. Pure."""

from meshcore.model.extension_provider import ExtensionProvider, ProviderService
from meshcore.xds.names import outbound_cluster
from meshcore.xds.provider_faults import provider_faults

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation


def provider_cluster(work: Compilation, service: ProviderService) -> str:
    """The cluster of a provider's service; empty when the class does not see it. Envoy refuses unknown clusters."""
    host = service.service.rpartition("/")[2].lower()
    found = work.scope.by_host.get(host)
    if found is None or found.port(service.port) is None:
        return ""
    return outbound_cluster(service.port, "", host)


def refused_part(work: Compilation, provider: ExtensionProvider) -> str:
    """Why Envoy would refuse every listener that names it; empty when it does not."""

    def read() -> str:
        return next((f"Envoy does not take its {path}: {fault}" for path, fault in provider_faults(provider)), "")

    return work.memo(("refused-part", Same(provider)), read)
