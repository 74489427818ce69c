"""Where proxies take certificates from that have those of mesh mTLS from files, or files from a socket apart. Pure.

Nothing is looked at for a proxy that has all from the agent's one socket, as nearly all have.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.proxy_protocol.v3 import upstream_proxy_protocol_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from meshcore.xds.names import FILES_SDS_CLUSTER, ROOT_CERTIFICATE, WORKLOAD_CERTIFICATE
from meshcore.xds.secret_names import FILE_KEY_PAIR, FILE_ROOT
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
    names = {WORKLOAD_CERTIFICATE: sources.server_pair, ROOT_CERTIFICATE: sources.server_root}
    changed = [_led(chain.transport_socket, names, sources.files_apart) for chain in chains]
    return repacked(item, listener, ()) if any(changed) else item


def _cluster(sources: CertificateSources, item: Compiled) -> Compiled:
    cluster = cluster_pb2.Cluster.FromString(item.resource.body)
    sockets = [cluster.transport_socket, *(match.transport_socket for match in cluster.transport_socket_matches)]
    names = {WORKLOAD_CERTIFICATE: sources.client_pair, ROOT_CERTIFICATE: sources.client_root}
    changed = [_led(socket, names, sources.files_apart) for socket in sockets]
    return repacked(item, cluster, ()) if any(changed) else item


def _led(socket: Any, names: Mapping[str, str], files_apart: bool) -> bool:
    """Have the socket take its secrets from where they are for this proxy; whether that is elsewhere than usual."""
    config = socket.typed_config
    for kind in (tls_pb2.DownstreamTlsContext, tls_pb2.UpstreamTlsContext):
        if config.Is(kind.DESCRIPTOR):
            context = kind.FromString(config.value)
            common = context.common_tls_context
            secrets = [
                *common.tls_certificate_sds_secret_configs,
                common.combined_validation_context.validation_context_sds_secret_config,
            ]
            before = [secret.SerializeToString() for secret in secrets]
            for secret in secrets:
                _lead(secret, names, files_apart)
            config.CopyFrom(any_of(context))
            return before != [secret.SerializeToString() for secret in secrets]
    if config.Is(_Wrapper.DESCRIPTOR):
        wrapper = _Wrapper.FromString(config.value)
        changed = _led(wrapper.transport_socket, names, files_apart)
        config.CopyFrom(any_of(wrapper))
        return changed
    return False


def _lead(secret: Any, names: Mapping[str, str], files_apart: bool) -> None:
    if secret.name in names:
        secret.name = names[secret.name]
    if files_apart and secret.name.startswith((FILE_KEY_PAIR, FILE_ROOT)):
        for service in secret.sds_config.api_config_source.grpc_services:
            service.envoy_grpc.cluster_name = FILES_SDS_CLUSTER
