"""The inline route configuration of inbound listeners: everything to the application, without a time limit. Pure."""

from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf import duration_pb2
from meshcore.model.virtual_service import HttpRetry
from meshcore.protocol import Protocol

from pilot.core.compiler.messages import boolean
from pilot.core.compiler.retry_policy import apply_conditions

_NO_LIMIT = duration_pb2.Duration()
INBOUND_CONDITIONS = "reset-before-request"
INBOUND_RETRIES = 2


def inbound_routes(
    cluster: str, virtual_host: str, operation: str, protocol: Protocol, retries: HttpRetry | None = None
) -> route_pb2.RouteConfiguration:
    """`virtual_host` is `inbound|http|<service port>`; `operation` the trace decorator.

    Non-gRPC requests whose connection was reset before they were sent are tried again (Istio's default inbound retry)
    unless `retries`, MeshConfig's `defaultInboundHttpRetryPolicy`, says how; no attempts: not at all.
    """
    action = route_components_pb2.RouteAction(cluster=cluster, timeout=_NO_LIMIT)
    action.max_stream_duration.max_stream_duration.CopyFrom(_NO_LIMIT)
    action.max_stream_duration.grpc_timeout_header_max.CopyFrom(_NO_LIMIT)
    if protocol not in (Protocol.GRPC, Protocol.GRPC_WEB) and (retries is None or retries.attempts > 0):
        apply_conditions(action.retry_policy, retries, INBOUND_CONDITIONS, INBOUND_RETRIES)
    route = route_components_pb2.Route(
        name="default",
        match=route_components_pb2.RouteMatch(prefix="/"),
        route=action,
        decorator=route_components_pb2.Decorator(operation=operation),
    )
    host = route_components_pb2.VirtualHost(name=virtual_host, domains=["*"], routes=[route])
    return route_pb2.RouteConfiguration(name=cluster, virtual_hosts=[host], validate_clusters=boolean(False))
