"""Which generated objects a patch changes: whether the match can fit what it applies to."""

from meshcore.model.envoy_filter import ApplyTo, ConfigObjectMatch, FilterMatch, ListenerMatch
from meshcore.regular_expression import regex_fault

from galley.core.rules.patterns import MAX_LENGTH
from galley.core.rules.report import Report

_LISTENER = frozenset((ApplyTo.LISTENER, ApplyTo.FILTER_CHAIN, ApplyTo.NETWORK_FILTER, ApplyTo.HTTP_FILTER))
_ROUTE = frozenset((ApplyTo.ROUTE_CONFIGURATION, ApplyTo.VIRTUAL_HOST, ApplyTo.HTTP_ROUTE))
_CONNECTION_MANAGERS = ("envoy.filters.network.http_connection_manager", "envoy.http_connection_manager")
_DEPRECATED_FILTERS = {
    "envoy.buffer": "envoy.filters.http.buffer",
    "envoy.client_ssl_auth": "envoy.filters.network.client_ssl_auth",
    "envoy.cors": "envoy.filters.http.cors",
    "envoy.csrf": "envoy.filters.http.csrf",
    "envoy.echo": "envoy.filters.network.echo",
    "envoy.ext_authz": "envoy.filters.http.ext_authz",
    "envoy.fault": "envoy.filters.http.fault",
    "envoy.grpc_http1_bridge": "envoy.filters.http.grpc_http1_bridge",
    "envoy.grpc_json_transcoder": "envoy.filters.http.grpc_json_transcoder",
    "envoy.grpc_web": "envoy.filters.http.grpc_web",
    "envoy.gzip": "envoy.filters.http.gzip",
    "envoy.health_check": "envoy.filters.http.health_check",
    "envoy.http_connection_manager": "envoy.filters.network.http_connection_manager",
    "envoy.http_dynamo_filter": "envoy.filters.http.dynamo",
    "envoy.ip_tagging": "envoy.filters.http.ip_tagging",
    "envoy.listener.http_inspector": "envoy.filters.listener.http_inspector",
    "envoy.listener.original_dst": "envoy.filters.listener.original_dst",
    "envoy.listener.original_src": "envoy.filters.listener.original_src",
    "envoy.listener.proxy_protocol": "envoy.filters.listener.proxy_protocol",
    "envoy.listener.tls_inspector": "envoy.filters.listener.tls_inspector",
    "envoy.lua": "envoy.filters.http.lua",
    "envoy.mongo_proxy": "envoy.filters.network.mongo_proxy",
    "envoy.rate_limit": "envoy.filters.http.ratelimit",
    "envoy.ratelimit": "envoy.filters.network.ratelimit",
    "envoy.redis_proxy": "envoy.filters.network.redis_proxy",
    "envoy.router": "envoy.filters.http.router",
    "envoy.squash": "envoy.filters.http.squash",
    "envoy.tcp_proxy": "envoy.filters.network.tcp_proxy",
}
"""Names of filters from before Envoy 1.14, with those that replaced them."""


def check_match(report: Report, path: str, match: ConfigObjectMatch | None, apply_to: ApplyTo) -> bool:
    """The kind of object matched is the one patched; False when the patch itself need not be looked at."""
    if match is None:
        return True
    if match.proxy is not None and match.proxy.proxy_version:
        where = f"{path}.proxy.proxyVersion"
        if len(match.proxy.proxy_version) > MAX_LENGTH:
            report.warn(where, f"longer than {MAX_LENGTH} characters: it is not used")
        elif fault := regex_fault(match.proxy.proxy_version):
            report.error(where, f"the regular expression is not RE2: {fault}", "an RE2 pattern")
            return False
    objects = (match.listener, match.route_configuration, match.cluster)
    if all(item is None for item in objects):
        return True
    for kinds, name, fitting in (
        (_LISTENER, "listener", match.listener),
        (_ROUTE, "routeConfiguration", match.route_configuration),
        (frozenset((ApplyTo.CLUSTER,)), "cluster", match.cluster),
    ):
        if apply_to in kinds and fitting is None:
            report.error(path, f"{apply_to.value} is not matched by what is given", name)
            return False
    if apply_to in _LISTENER and match.listener is not None:
        return _check_listener(report, f"{path}.listener", match.listener, apply_to)
    return True


def _check_listener(report: Report, path: str, match: ListenerMatch, apply_to: ApplyTo) -> bool:
    if match.filter_chain is None or match.filter_chain.filter is None:
        return True
    found, where = match.filter_chain.filter, f"{path}.filterChain.filter"
    if apply_to in (ApplyTo.LISTENER, ApplyTo.FILTER_CHAIN):
        report.warn(where, f"a match of a filter is not used with {apply_to.value}")
    if not found.name:
        report.error(f"{where}.name", "required", "the name of a filter")
        return False
    if found.sub_filter is not None and not _check_sub_filter(report, where, found, apply_to):
        return False
    _warn_of_name(report, f"{where}.name", found.name)
    if found.sub_filter is not None:
        _warn_of_name(report, f"{where}.subFilter.name", found.sub_filter.name)
    return True


def _check_sub_filter(report: Report, path: str, match: FilterMatch, apply_to: ApplyTo) -> bool:
    where = f"{path}.subFilter"
    if apply_to is not ApplyTo.HTTP_FILTER:
        report.error(where, f"not supported with {apply_to.value}", "applyTo HTTP_FILTER")
    elif match.name not in _CONNECTION_MANAGERS:
        report.error(f"{path}.name", f"{match.name!r} has no filters in it", _CONNECTION_MANAGERS[0])
    elif match.sub_filter is None or not match.sub_filter.name:
        report.error(f"{where}.name", "required", "the name of a filter")
    else:
        return True
    return False


def _warn_of_name(report: Report, path: str, name: str) -> None:
    if replacement := _DEPRECATED_FILTERS.get(name):
        report.warn(path, f"{name!r} is a name of old: use {replacement}")
