"""Listener filters: what is found out about a connection before a chain is chosen. Pure."""

from collections.abc import Iterable

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from envoy.extensions.filters.listener.original_src.v3 import original_src_pb2
from envoy.extensions.filters.listener.proxy_protocol.v3 import proxy_protocol_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.type.v3 import range_pb2

from pilot.core.compiler.messages import any_of, uint32

_Filter = listener_components_pb2.ListenerFilter
_MARK = 1337
"""Socket mark of captured traffic in TPROXY mode; the agent's rules let it pass."""


def original_dst() -> listener_components_pb2.ListenerFilter:
    """Restore the address that was dialled before the traffic was captured."""
    return _Filter(name="envoy.filters.listener.original_dst", typed_config=any_of(original_dst_pb2.OriginalDst()))


def original_src() -> listener_components_pb2.ListenerFilter:
    """Keep the caller's address towards the application (TPROXY)."""
    config = original_src_pb2.OriginalSrc(mark=_MARK)
    return _Filter(name="envoy.filters.listener.original_src", typed_config=any_of(config))


def proxy_protocol() -> listener_components_pb2.ListenerFilter:
    """Take the caller's address from the load balancer before the proxy."""
    config = proxy_protocol_pb2.ProxyProtocol()
    return _Filter(name="envoy.filters.listener.proxy_protocol", typed_config=any_of(config))


def tls_inspector(
    except_ports: Iterable[int] = (), only_ports: Iterable[int] | None = None
) -> listener_components_pb2.ListenerFilter:
    """Find TLS, its SNI and ALPN, but on ports where nothing depends on it: there a server may speak first."""
    config = tls_inspector_pb2.TlsInspector(initial_read_buffer_size=uint32(512))
    made = _Filter(name="envoy.filters.listener.tls_inspector", typed_config=any_of(config))
    if only_ports is not None:
        made.filter_disabled.not_match.CopyFrom(_on_ports(only_ports))
    elif excepted := set(except_ports):
        made.filter_disabled.CopyFrom(_on_ports(excepted))
    return made


def http_inspector(except_ports: Iterable[int] = ()) -> listener_components_pb2.ListenerFilter:
    """Find HTTP in plaintext, but on ports where nothing depends on it."""
    made = _Filter(
        name="envoy.filters.listener.http_inspector", typed_config=any_of(http_inspector_pb2.HttpInspector())
    )
    if excepted := set(except_ports):
        made.filter_disabled.CopyFrom(_on_ports(excepted))
    return made


def _on_ports(ports: Iterable[int]) -> listener_components_pb2.ListenerFilterChainMatchPredicate:
    """By the port that was dialled."""
    rules = [
        listener_components_pb2.ListenerFilterChainMatchPredicate(
            destination_port_range=range_pb2.Int32Range(start=port, end=port + 1)
        )
        for port in sorted(set(ports))
    ]
    if len(rules) == 1:
        return rules[0]
    made = listener_components_pb2.ListenerFilterChainMatchPredicate()
    made.or_match.rules.extend(rules)
    return made
