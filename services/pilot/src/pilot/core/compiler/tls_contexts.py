"""Every TLS context of a compiled listener or cluster, for what holds for all of them. Pure."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.proxy_protocol.v3 import upstream_proxy_protocol_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE

from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.messages import any_of
from pilot.core.compiler.repacking import repacked

Change = Callable[[Any, bool], None]
"""Of a CommonTlsContext, in place; True for a server's."""
_Wrapper = upstream_proxy_protocol_pb2.ProxyProtocolUpstreamTransport
_CONTEXTS = (tls_pb2.DownstreamTlsContext, tls_pb2.UpstreamTlsContext)


def with_tls_contexts(
    work: Compilation, compiled: Iterable[Compiled], name: str, given: Hashable, change: Change
) -> Iterator[Compiled]:
    """The resources with `change` made in each context; `name` and `given` stand for it in the memo."""
    for item in compiled:
        if item.resource.type_url not in (LISTENER_TYPE, CLUSTER_TYPE):
            yield item
            continue
        key = (name, item.resource, item.resource.origins, item.diagnostics, item.secrets, given)
        yield work.memo(key, partial(_changed, item, change))


def _changed(item: Compiled, change: Change) -> Compiled:
    is_listener = item.resource.type_url == LISTENER_TYPE
    if is_listener:
        parsed = listener_pb2.Listener.FromString(item.resource.body)
        chains = [*parsed.filter_chains]
        if parsed.HasField("default_filter_chain"):
            chains.append(parsed.default_filter_chain)
        sockets = [chain.transport_socket for chain in chains]
    else:
        parsed = cluster_pb2.Cluster.FromString(item.resource.body)
        sockets = [parsed.transport_socket, *(one.transport_socket for one in parsed.transport_socket_matches)]
    changed = [_change_in(socket.typed_config, change, is_listener) for socket in sockets]
    return repacked(item, parsed, ()) if any(changed) else item


def _change_in(config: Any, change: Change, is_server: bool) -> bool:
    """Whether there is anything else in the socket now."""
    kind = next((one for one in (*_CONTEXTS, _Wrapper) if config.Is(one.DESCRIPTOR)), None)
    if kind is None:
        return False
    message = kind.FromString(config.value)
    if kind is _Wrapper:
        changed = _change_in(message.transport_socket.typed_config, change, is_server)
    else:
        before = message.common_tls_context.SerializeToString(deterministic=True)
        change(message.common_tls_context, is_server)
        changed = message.common_tls_context.SerializeToString(deterministic=True) != before
    if changed:
        config.CopyFrom(any_of(message))
    return changed
