"""Which statistics Envoy keeps, and how their names fall apart into tags, as Istio's dashboards expect them.

Names of clusters and hosts contain dots, so Pilot ends every such part of a name with `;` and the expressions look for
that. Everything outside the inclusion list is never created, which is most of Envoy's memory in a large mesh. Pure.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from meshcore.durations import parse_duration

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
_REGEXES = (r"vhost\..*\.route\..*", r"cluster\..*\.grpc\.(request|response)_message_count")

_FLUSH = timedelta(seconds=5)
"""Envoy's own."""
_ANNOTATIONS = (
    "statsInclusionPrefixes",
    "statsInclusionSuffixes",
    "statsInclusionRegexps",
    "extraStatTags",
    "statsHistogramBuckets",
    "statsFlushInterval",
    "statsEvictionInterval",
    "statsCompression",
)


@dataclass(frozen=True, slots=True)
class StatsInclusion:
    """What the operator adds: `proxyStatsMatcher` of ProxyConfig, or the annotations of the pod, and extra tags.

    `buckets` are those of histograms by the beginning of their names; None for an interval is Envoy's own.
    """

    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    regexes: tuple[str, ...] = ()
    extra_tags: tuple[str, ...] = ()
    buckets: tuple[tuple[str, tuple[float, ...]], ...] = ()
    flush: timedelta | None = None
    eviction: timedelta | None = None
    compressed: bool = True


def annotated(inclusion: StatsInclusion, annotations: Mapping[str, str], addresses: Sequence[str]) -> StatsInclusion:
    """What the pod's annotations make of it: each takes the place of its field of ProxyConfig, extra tags are added.
    `{pod_ip}` stands for every address. A value that cannot be read counts as absent, as in Istio."""
    texts = {name: annotations.get(f"sidecar.istio.io/{name}", "") for name in _ANNOTATIONS}

    def patterns(name: str, given: tuple[str, ...]) -> tuple[str, ...]:
        chosen = tuple(texts[name].split(",")) if texts[name] else given
        return tuple(
            pattern.replace("{pod_ip}", address)
            for pattern in chosen
            if pattern
            for address in (addresses if "{pod_ip}" in pattern else ("",))
        )

    tags = [*inclusion.extra_tags, *filter(None, texts["extraStatTags"].split(","))]
    flush = _interval(texts["statsFlushInterval"])
    eviction = _interval(texts["statsEvictionInterval"])
    if eviction is not None and eviction % (flush or _FLUSH):
        eviction = None  # Envoy refuses one that is no multiple of the flush interval
    return replace(
        inclusion,
        prefixes=patterns("statsInclusionPrefixes", inclusion.prefixes),
        suffixes=patterns("statsInclusionSuffixes", inclusion.suffixes),
        regexes=patterns("statsInclusionRegexps", inclusion.regexes),
        extra_tags=tuple(dict.fromkeys(tags)),
        buckets=_buckets(texts["statsHistogramBuckets"]),
        flush=flush,
        eviction=eviction,
        compressed=inclusion.compressed and texts["statsCompression"] != "false",
    )


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
    config: dict[str, Any] = {
        "use_all_default_tags": False,
        "stats_tags": tags,
        "stats_matcher": {"inclusion_list": {"patterns": patterns}},
    }
    if inclusion.buckets:
        config["histogram_bucket_settings"] = [
            {"match": {"prefix": prefix}, "buckets": list(limits)} for prefix, limits in inclusion.buckets
        ]
    return config


def stats_intervals(inclusion: StatsInclusion) -> dict[str, str]:
    """The bootstrap's intervals, those that are not Envoy's own."""
    intervals = {"stats_flush_interval": inclusion.flush, "stats_eviction_interval": inclusion.eviction}
    return {name: f"{value.total_seconds():g}s" for name, value in intervals.items() if value is not None}


def _interval(text: str) -> timedelta | None:
    try:
        found = parse_duration(text)
    except ValueError:
        return None
    return found if found > timedelta() else None


def _buckets(text: str) -> tuple[tuple[str, tuple[float, ...]], ...]:
    try:
        given = json.loads(text) if text else {}
        return tuple((str(prefix), tuple(float(limit) for limit in given[prefix])) for prefix in sorted(given))
    except (ValueError, TypeError):
        return ()


def _patterns(kind: str, values: Sequence[str]) -> list[dict[str, str]]:
    return [{kind: value} for value in values]
