"""The one total order of HTTP and of network filters (Istio's; xds.md §5), so that listeners do not drain for a
reshuffle.

A filter that is not in these tables cannot be emitted. Pure.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum

from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

HttpFilter = http_connection_manager_pb2.HttpFilter


class HttpSlot(IntEnum):
    """Positions of HTTP filters; the reason beside each."""

    PEER_METADATA = 1  # who is calling must be known to all that follows
    CUSTOM_AUTHORIZATION = 2  # the external authoriser may deny before anything is parsed
    AUTHENTICATION_EXTENSION = 3
    JWT = 4  # claims are input of authorisation
    AUTHORIZATION_EXTENSION = 5
    RBAC = 6
    STATS_EXTENSION = 7
    EXTENSION = 8
    GRPC_WEB = 9  # translate before gRPC is counted
    GRPC_STATS = 10
    ALPN = 11  # decides the upstream connection; after all that may deny
    FAULT = 12
    CORS = 13
    TELEMETRY = 14
    STATEFUL_SESSION = 15
    DYNAMIC_FORWARD_PROXY = 16
    ROUTER = 17  # terminal


SLOTS: Mapping[str, HttpSlot] = {
    "envoy.filters.http.jwt_authn": HttpSlot.JWT,
    "envoy.filters.http.rbac": HttpSlot.RBAC,
    "envoy.filters.http.grpc_web": HttpSlot.GRPC_WEB,
    "envoy.filters.http.grpc_stats": HttpSlot.GRPC_STATS,
    "envoy.filters.http.set_filter_state": HttpSlot.ALPN,
    "envoy.filters.http.fault": HttpSlot.FAULT,
    "envoy.filters.http.cors": HttpSlot.CORS,
    "envoy.filters.http.stateful_session": HttpSlot.STATEFUL_SESSION,
    "envoy.filters.http.dynamic_forward_proxy": HttpSlot.DYNAMIC_FORWARD_PROXY,
    "envoy.filters.http.router": HttpSlot.ROUTER,
}
"""The slot of each filter by its name, to find the place of what is added later."""


def ordered(
    filters: Iterable[tuple[HttpSlot, http_connection_manager_pb2.HttpFilter]],
) -> list[http_connection_manager_pb2.HttpFilter]:
    """By slot, then by name, so that the order never depends on who came first."""
    return [item for _, item in sorted(filters, key=lambda pair: (pair[0], pair[1].name))]
