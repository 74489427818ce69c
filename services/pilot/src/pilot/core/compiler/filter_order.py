"""The one total order of HTTP and of network filters (Istio's; xds.md §5), so that listeners do not drain for a
reshuffle.

A filter that is not in these tables cannot be emitted. Pure.
"""

from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from enum import IntEnum
from typing import Any

from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

HttpFilter = http_connection_manager_pb2.HttpFilter


class HttpSlot(IntEnum):
    """Positions of HTTP filters; the reason beside each."""

    PEER_METADATA = 1  # who is calling must be known to all that follows
    CUSTOM_AUTHORIZATION = 2  # the external authoriser may deny before anything is parsed
    AUTHENTICATION_EXTENSION = 3
    CLAIM_HEADERS = 4  # nobody may bring claims but the filter behind it
    JWT = 5  # claims are input of authorisation
    AUTHORIZATION_EXTENSION = 6
    RBAC = 7
    STATS_EXTENSION = 8
    EXTENSION = 9
    GRPC_WEB = 10  # translate before gRPC is counted
    GRPC_STATS = 11
    ALPN = 12  # decides the upstream connection; after all that may deny
    FAULT = 13
    CORS = 14
    TELEMETRY = 15
    STATEFUL_SESSION = 16
    DYNAMIC_FORWARD_PROXY = 17
    ROUTER = 18  # terminal


PEER_METADATA, OWN_METADATA = "meshcore.peer_metadata", "meshcore.own_metadata"
SLOTS: Mapping[str, HttpSlot] = {
    PEER_METADATA: HttpSlot.PEER_METADATA,
    "envoy.filters.http.ext_authz": HttpSlot.CUSTOM_AUTHORIZATION,
    "meshcore.claim_headers": HttpSlot.CLAIM_HEADERS,
    "envoy.filters.http.jwt_authn": HttpSlot.JWT,
    "envoy.filters.http.rbac": HttpSlot.RBAC,
    "envoy.filters.http.grpc_web": HttpSlot.GRPC_WEB,
    "envoy.filters.http.grpc_stats": HttpSlot.GRPC_STATS,
    "envoy.filters.http.set_filter_state": HttpSlot.ALPN,
    "envoy.filters.http.fault": HttpSlot.FAULT,
    "envoy.filters.http.cors": HttpSlot.CORS,
    OWN_METADATA: HttpSlot.TELEMETRY,
    "envoy.filters.http.stateful_session": HttpSlot.STATEFUL_SESSION,
    "envoy.filters.http.dynamic_forward_proxy": HttpSlot.DYNAMIC_FORWARD_PROXY,
    "envoy.filters.http.router": HttpSlot.ROUTER,
}
"""The slot of each filter by its name."""
_RBAC = "envoy.filters.http.rbac"
CUSTOM_SHADOW = "istio_ext_authz_"
CUSTOM_REFUSED = "-deny-due-to-bad-CUSTOM-action"
"""What the RBAC filter before ext_authz, or in its place, is known by: it has the name of the others."""


def slot_of(item: Any) -> HttpSlot:
    """The slot of a filter that is there, to find the place of what is added later."""
    if item.name == _RBAC:
        config = rbac_pb2.RBAC.FromString(item.typed_config.value)
        refused = any(name.endswith(CUSTOM_REFUSED) for name in config.rules.policies)
        if config.shadow_rules_stat_prefix == CUSTOM_SHADOW or refused:
            return HttpSlot.CUSTOM_AUTHORIZATION
    return SLOTS.get(item.name, HttpSlot.EXTENSION)


def ordered(
    filters: Iterable[tuple[HttpSlot, http_connection_manager_pb2.HttpFilter]],
) -> list[http_connection_manager_pb2.HttpFilter]:
    """By slot, then by name, so that the order never depends on who came first."""
    return [item for _, item in sorted(filters, key=lambda pair: (pair[0], pair[1].name))]


def insert(
    filters: MutableSequence[http_connection_manager_pb2.HttpFilter],
    made: Sequence[tuple[HttpSlot, http_connection_manager_pb2.HttpFilter]],
) -> None:
    """Put filters, in their own order, into an ordered list: each behind all of its slot and of those before it."""
    places = [slot_of(item) for item in filters]
    for slot, item in reversed(made):  # the last first, so that places stay what they were
        filters.insert(next((index for index, place in enumerate(places) if place > slot), len(places)), item)
