"""Access records for the audit: what listeners tell the agent beside them, which reports it to Citadel.

Told is what is refused and what an AUDIT policy matches, or all, as the mesh config says. Only where traffic arrives:
there policies are enforced and the caller's certificate is verified; the caller's own record of the same request would
be the word of the one whom the policy is about. An HTTP request is the connection manager's to tell, a connection of
bytes the TCP proxy's, and one that found no filter chain or failed in the handshake the listener's. Nothing waits for
the agent: while it is away Envoy drops and counts. Pure.
"""

from collections.abc import Iterable, Iterator
from functools import cache, partial
from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from meshcore.access_record import AUDIT_SHADOW
from meshcore.model.mesh_config import RequestAudit
from meshcore.xds.names import AUDIT_CLUSTER, BLACK_HOLE_CLUSTER
from meshcore.xds.types import LISTENER_TYPE

from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.messages import any_of
from pilot.core.compiler.repacking import repacked
from pilot.core.compiler.stages import Stage
from pilot.core.proxy import ProxyType

_Manager = http_connection_manager_pb2.HttpConnectionManager
_Tcp = tcp_proxy_pb2.TcpProxy
_Log = accesslog_pb2.AccessLog
_Filter = accesslog_pb2.AccessLogFilter
_LOG_NAME = "meshcore-audit"
_FLUSH_NANOS = 500_000_000
_BUFFER_BYTES = 64 * 1024
_REFUSED_STATUS = 400
_REFUSED_CALLS = (accesslog_pb2.GrpcStatusFilter.PERMISSION_DENIED, accesslog_pb2.GrpcStatusFilter.UNAUTHENTICATED)
_DENIED = "rbac_access_denied"
_BAD_TOKEN = "jwt_authn_access_denied"
_FAILURE = "connection.transport_failure_reason"
_HANDSHAKE_REFUSED = (
    f"'transport_failure_reason' in connection && ({_FAILURE}.contains('PEER_DID_NOT_RETURN_A_CERTIFICATE') ||"
    f" {_FAILURE}.contains('CERTIFICATE_VERIFY_FAILED'))"
)
"""A caller's certificate was asked for and is missing or not to be trusted: not a connection that broke off."""


def audited(work: Compilation, compiled: Iterable[Compiled]) -> Iterator[Compiled]:
    """The resources with the loggers of the audit in the listeners, beside those of Telemetry."""
    one, asked = work.proxy_class, work.mesh.request_audit
    if not one.audits or asked is RequestAudit.NONE or one.type is ProxyType.WAYPOINT:
        yield from compiled
        return
    stage = Stage[Compiled](work, "audited", asked)
    for item in compiled:
        is_listener = item.resource.type_url == LISTENER_TYPE
        yield stage.of(item, partial(_audit, one.type, asked, item)) if is_listener else item


def _audit(kind: ProxyType, asked: RequestAudit, item: Compiled) -> Compiled:
    listener = listener_pb2.Listener.FromString(item.resource.body)
    is_inbound = listener.traffic_direction == base_pb2.TrafficDirection.INBOUND
    if not is_inbound and kind is not ProxyType.ROUTER:
        return item
    chains = [*listener.filter_chains]
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    for chain in chains:
        for filter_ in chain.filters:
            _audit_filter(filter_, asked)
    listener.access_log.append(_listener_log(is_inbound))
    return repacked(item, listener, ())


def _audit_filter(filter_: Any, asked: RequestAudit) -> None:
    if filter_.typed_config.Is(_Manager.DESCRIPTOR):
        manager = _Manager.FromString(filter_.typed_config.value)
        for inner in manager.http_filters:
            _name_matches(inner, http_rbac_pb2.RBAC)
        manager.access_log.append(_http_log(asked))
        filter_.typed_config.CopyFrom(any_of(manager))
    elif filter_.typed_config.Is(_Tcp.DESCRIPTOR):
        proxy = _Tcp.FromString(filter_.typed_config.value)
        if proxy.cluster != BLACK_HOLE_CLUSTER:
            proxy.access_log.append(_tcp_log(asked))
            filter_.typed_config.CopyFrom(any_of(proxy))
    else:
        _name_matches(filter_, network_rbac_pb2.RBAC)


def _name_matches(filter_: Any, kind: Any) -> None:
    """Have a filter that only logs tell which policy matched: Envoy says it of shadow rules alone."""
    if not filter_.typed_config.Is(kind.DESCRIPTOR):
        return
    rbac = kind.FromString(filter_.typed_config.value)
    if rbac.HasField("rules") and rbac.rules.action == rbac_pb2.RBAC.LOG and not rbac.HasField("shadow_rules"):
        rbac.shadow_rules.CopyFrom(rbac.rules)
        rbac.shadow_rules_stat_prefix = AUDIT_SHADOW
        filter_.typed_config.CopyFrom(any_of(rbac))


@cache
def _http_log(asked: RequestAudit) -> accesslog_pb2.AccessLog:
    config = als_pb2.HttpGrpcAccessLogConfig(common_config=_common())
    return _Log(
        name="envoy.access_loggers.http_grpc",
        typed_config=any_of(config),
        filter=None if asked is RequestAudit.ALL else _either(_flagged("UAEX"), _matched(), _refused_request()),
    )


@cache
def _tcp_log(asked: RequestAudit) -> accesslog_pb2.AccessLog:
    refused = _cel(f"connection.termination_details.startsWith('{_DENIED}')")
    # What the listener tells is not told again.
    wanted = (
        _cel(f"!({_HANDSHAKE_REFUSED})")
        if asked is RequestAudit.ALL
        else _either(_flagged("UAEX"), _matched(), refused)
    )
    return _connection_log(wanted)


@cache
def _listener_log(is_inbound: bool) -> accesslog_pb2.AccessLog:
    """A sidecar has a chain for all that it may be sent, so none means plaintext where mTLS is asked for; a gateway has
    none for hosts that nobody serves."""
    handshake = _cel(_HANDSHAKE_REFUSED)
    return _connection_log(_either(_flagged("NR"), handshake) if is_inbound else handshake)


def _connection_log(wanted: accesslog_pb2.AccessLogFilter) -> accesslog_pb2.AccessLog:
    config = als_pb2.TcpGrpcAccessLogConfig(common_config=_common())
    return _Log(name="envoy.access_loggers.tcp_grpc", typed_config=any_of(config), filter=wanted)


def _common() -> als_pb2.CommonGrpcAccessLogConfig:
    common = als_pb2.CommonGrpcAccessLogConfig(log_name=_LOG_NAME, transport_api_version="V3")
    common.grpc_service.envoy_grpc.cluster_name = AUDIT_CLUSTER
    common.buffer_flush_interval.nanos = _FLUSH_NANOS
    common.buffer_size_bytes.value = _BUFFER_BYTES
    return common


def _refused_request() -> accesslog_pb2.AccessLogFilter:
    """Denied by RBAC, or for its token. The expression is dear, so it is asked of what failed only: 4xx and 5xx, and
    calls of gRPC, which fail with 200."""
    failed = _Filter()
    failed.status_code_filter.comparison.op = accesslog_pb2.ComparisonFilter.GE
    failed.status_code_filter.comparison.value.default_value = _REFUSED_STATUS
    failed.status_code_filter.comparison.value.runtime_key = "meshcore.audit.min_status"
    grpc = _Filter()
    grpc.grpc_status_filter.statuses.extend(_REFUSED_CALLS)
    denied = _cel(" || ".join(f"response.code_details.startsWith('{one}')" for one in (_DENIED, _BAD_TOKEN)))
    both = _Filter()
    both.and_filter.filters.extend([_either(failed, grpc), denied])
    return both


def _matched() -> accesslog_pb2.AccessLogFilter:
    """An AUDIT policy matched: its filter leaves a hint."""
    made = _Filter()
    made.metadata_filter.matcher.filter = "envoy.common"
    made.metadata_filter.matcher.path.add(key="access_log_hint")
    made.metadata_filter.matcher.value.bool_match = True
    made.metadata_filter.match_if_key_not_found.value = False
    return made


def _flagged(flag: str) -> accesslog_pb2.AccessLogFilter:
    made = _Filter()
    made.response_flag_filter.flags.append(flag)
    return made


def _cel(expression: str) -> accesslog_pb2.AccessLogFilter:
    made = _Filter()
    made.extension_filter.name = "envoy.access_loggers.extension_filters.cel"
    made.extension_filter.typed_config.CopyFrom(any_of(cel_pb2.ExpressionFilter(expression=expression)))
    return made


def _either(*filters: accesslog_pb2.AccessLogFilter) -> accesslog_pb2.AccessLogFilter:
    made = _Filter()
    made.or_filter.filters.extend(filters)
    return made
