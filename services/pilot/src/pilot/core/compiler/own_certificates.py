"""The certificates of mesh mTLS for proxies that have theirs from files of their own. Pure.

Nothing is looked at for a proxy that has the agent's, as nearly all have.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.proxy_protocol.v3 import upstream_proxy_protocol_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from meshcore.xds.names import ROOT_CERTIFICATE, WORKLOAD_CERTIFICATE
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE

from pilot.core.certificate_sources import CertificateSources
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.messages import any_of
from pilot.core.compiler.repacking import repacked

_Wrapper = upstream_proxy_protocol_pb2.ProxyProtocolUpstreamTransport


def with_own_certificates(work: Compilation, compiled: Iterable[Compiled]) -> Iterator[Compiled]:
    """The resources with the secrets that this class has in the place of `default` and `ROOTCA`."""
    sources = work.proxy_class.certificates
    if sources is None:
        yield from compiled
        return
    changes: Mapping[str, Callable[[CertificateSources, Compiled], Compiled]] = {
        LISTENER_TYPE: _listener,
        CLUSTER_TYPE: _cluster,
    }
    for item in compiled:
        change = changes.get(item.resource.type_url)
        if change is None:
            yield item
            continue
        key = ("own-certificates", item.resource, item.resource.origins, item.diagnostics, item.secrets, sources)
        yield work.memo(key, partial(change, sources, item))


def _listener(sources: CertificateSources, item: Compiled) -> Compiled:
    listener = listener_pb2.Listener.FromString(item.resource.body)
    chains = [*listener.filter_chains]
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    sockets = [chain.transport_socket for chain in chains]
    changed = [_renamed(socket, sources.server_pair, sources.server_root) for socket in sockets]
    return repacked(item, listener, ()) if any(changed) else item


def _cluster(sources: CertificateSources, item: Compiled) -> Compiled:
    cluster = cluster_pb2.Cluster.FromString(item.resource.body)
    sockets = [cluster.transport_socket, *(match.transport_socket for match in cluster.transport_socket_matches)]
    changed = [_renamed(socket, sources.client_pair, sources.client_root) for socket in sockets]
    return repacked(item, cluster, ()) if any(changed) else item


def _renamed(socket: Any, pair: str, root: str) -> bool:
    """Whether the socket has the mesh's certificates, which it has from elsewhere now."""
    config = socket.typed_config
    for kind in (tls_pb2.DownstreamTlsContext, tls_pb2.UpstreamTlsContext):
        if config.Is(kind.DESCRIPTOR):
            context = kind.FromString(config.value)
            changed = _rename(context.common_tls_context, pair, root)
            config.CopyFrom(any_of(context))
            return changed
    if config.Is(_Wrapper.DESCRIPTOR):
        wrapper = _Wrapper.FromString(config.value)
        changed = _renamed(wrapper.transport_socket, pair, root)
        config.CopyFrom(any_of(wrapper))
        return changed
    return False


def _rename(common: Any, pair: str, root: str) -> bool:
    changed = False
    for secret in common.tls_certificate_sds_secret_configs:
        if secret.name == WORKLOAD_CERTIFICATE:
            secret.name, changed = pair, True
    believed = common.combined_validation_context.validation_context_sds_secret_config
    if believed.name == ROOT_CERTIFICATE:
        believed.name, changed = root, True
    return changed
