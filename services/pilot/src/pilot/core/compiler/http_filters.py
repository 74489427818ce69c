"""The HTTP filters that a connection manager starts with, each with its slot. Stock Envoy's only. Pure."""

from functools import cache

from envoy.config.core.v3 import substitution_format_string_pb2
from envoy.extensions.filters.common.set_filter_state.v3 import value_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.http.grpc_stats.v3 import config_pb2 as grpc_stats_pb2
from envoy.extensions.filters.http.grpc_web.v3 import grpc_web_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.http.set_filter_state.v3 import set_filter_state_pb2

from pilot.core.compiler.filter_order import HttpFilter, HttpSlot
from pilot.core.compiler.messages import any_of, boolean
from pilot.core.compiler.tcp_proxy import ALPN_KEY

FAULT = "envoy.filters.http.fault"
CORS = "envoy.filters.http.cors"
_ALPN_BY_PROTOCOL = "%CEL(request.protocol == 'HTTP/2' ? 'istio-h2,istio,h2' : 'istio-http/1.1,istio,http/1.1')%"

Placed = tuple[HttpSlot, HttpFilter]


@cache
def _router() -> Placed:
    return HttpSlot.ROUTER, HttpFilter(name="envoy.filters.http.router", typed_config=any_of(router_pb2.Router()))


@cache
def _grpc_stats() -> Placed:
    config = grpc_stats_pb2.FilterConfig(emit_filter_state=True, stats_for_all_methods=boolean(False))
    return HttpSlot.GRPC_STATS, HttpFilter(name="envoy.filters.http.grpc_stats", typed_config=any_of(config))


@cache
def _grpc_web() -> Placed:
    return HttpSlot.GRPC_WEB, HttpFilter(
        name="envoy.filters.http.grpc_web", typed_config=any_of(grpc_web_pb2.GrpcWeb())
    )


@cache
def _alpn() -> Placed:
    """On a port whose server sniffs: offer the ALPN that says what the request is (stock form of Istio's alpn
    filter)."""
    value = value_pb2.FilterStateValue(
        object_key=ALPN_KEY,
        factory_key=ALPN_KEY,
        format_string=substitution_format_string_pb2.SubstitutionFormatString(
            text_format_source={"inline_string": _ALPN_BY_PROTOCOL}
        ),
    )
    config = set_filter_state_pb2.Config(on_request_headers=[value])
    return HttpSlot.ALPN, HttpFilter(name="envoy.filters.http.set_filter_state", typed_config=any_of(config))


def _fault() -> Placed:
    return HttpSlot.FAULT, HttpFilter(name=FAULT, typed_config=any_of(fault_pb2.HTTPFault()))


def _cors() -> Placed:
    return HttpSlot.CORS, HttpFilter(name=CORS, typed_config=any_of(cors_pb2.Cors()))


def default_filters(*, sniffs: bool = False, grpc_web: bool = False) -> list[Placed]:
    """What every connection manager has; `sniffs` for one that serves a single port with a sniffed protocol."""
    found = [_grpc_stats(), _fault(), _cors(), _router()]
    return found + ([_alpn()] if sniffs else []) + ([_grpc_web()] if grpc_web else [])
