"""Which statistics Envoy keeps, and how their names fall apart into tags, as Istio's dashboards expect them.

Names of clusters and hosts contain dots, so Pilot ends every such part of a name with `;` and the expressions look for
that. Everything outside the inclusion list is never created, which is most of Envoy's memory in a large mesh. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_TAGS = (
    ("cluster_name", r"^cluster(\.(.+);)"),
    ("http_conn_manager_prefix", r"^http\.(((?:[_.[:digit:]\w]*|[_\[\]aAbBcCdDeEfF[:digit:]\w\:]*));\.)"),
    ("thread_name", r"^server(\.(.+))\.watchdog"),
    ("tcp_prefix", r"^tcp\.((.*?)\.)\w+?$"),
    ("response_code", r"_rq(_(\d{3}))$"),
    ("response_code_class", r"_rq(_(\dxx))$"),
    (
        "http_conn_manager_listener_prefix",
        r"^listener(?=\.).*?\.http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)",
    ),
    ("listener_address", r"^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)"),
    ("mongo_prefix", r"^mongo\.(.+?)\.(collection|cmd|cx_|op_|delays_|decoding_)(.*?)$"),
)
_LATE_TAGS = (
    ("cache", r"(cache\.(.+?)\.)"),
    ("component", r"(component\.(.+?)\.)"),
    ("tag", r"(tag\.(.+?);\.)"),
    ("wasm_filter", r"(wasm_filter\.(.+?)\.)"),
    ("authz_enforce_result", r"rbac(\.(allowed|denied))"),
    ("authz_dry_run_action", r"(\.istio_dry_run_(allow|deny)_)"),
    ("authz_dry_run_result", r"(\.shadow_(allowed|denied))"),
)
_PREFIXES = ("reporter=", "cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm", "access_logs.")
_LATE_PREFIXES = ("component", "istio")
# A drain ends early when nobody uses the proxy any more, so these gauges are kept always.
_USAGE = ("downstream_cx_active", "downstream_rq_active")
_SUFFIXES = ("rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied", *_USAGE)
_REGEXES = (r"vhost\..*\.route\..*",)


@dataclass(frozen=True, slots=True)
class StatsInclusion:
    """What the operator adds: `proxyStatsMatcher` of ProxyConfig, or the annotations of the pod, and extra tags."""

    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    regexes: tuple[str, ...] = ()
    extra_tags: tuple[str, ...] = ()


def stats_config(inclusion: StatsInclusion) -> dict[str, Any]:
    """The `stats_config` of the bootstrap."""
    extra = [(tag, rf"({tag}=\.=(.*?);\.)") for tag in inclusion.extra_tags]
    tags = [{"tag_name": name, "regex": regex} for name, regex in (*_TAGS, *extra, *_LATE_TAGS)]
    patterns = [
        *_patterns("prefix", _PREFIXES),
        *_patterns("suffix", _SUFFIXES),
        *({"safe_regex": {"regex": regex}} for regex in _REGEXES),
        *_patterns("prefix", _LATE_PREFIXES),
        *_patterns("prefix", inclusion.prefixes),
        *_patterns("suffix", inclusion.suffixes),
        *({"safe_regex": {"regex": regex}} for regex in inclusion.regexes),
    ]
    return {
        "use_all_default_tags": False,
        "stats_tags": tags,
        "stats_matcher": {"inclusion_list": {"patterns": patterns}},
    }


def _patterns(kind: str, values: Sequence[str]) -> list[dict[str, str]]:
    return [{kind: value} for value in values]
