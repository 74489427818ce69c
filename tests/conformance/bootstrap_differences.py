"""Two bootstraps compared by meaning, and where ours is meant to differ from Istio's.

A bootstrap is told apart into places, such as `static_resources/clusters/agent/type`: items of lists go by their name
where they have one. Every difference must be named in `EXPECTED`, with the reason; any other is a failure.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_TYPED_STRUCT = "type.googleapis.com/udpa.type.v1.TypedStruct"
_MISSING = "(nothing)"


@dataclass(frozen=True, slots=True)
class Expected:
    """`place` is a regular expression for the whole of a place; `wanted` and `got` for the values as JSON shows them,
    where only these may stand there."""

    place: str
    why: str
    wanted: str = r"[\s\S]*"
    got: str = r"[\s\S]*"

    def covers(self, place: str, wanted: str, got: str) -> bool:
        """Whether this is the difference that is meant."""
        patterns = ((self.place, place), (self.wanted, wanted), (self.got, got))
        return all(re.fullmatch(pattern, text) for pattern, text in patterns)


_NOTHING = re.escape(_MISSING)
_METADATA = "node/metadata"
_CLUSTERS = "static_resources/clusters"

EXPECTED = (
    Expected("node/id", "made from the environment; the corpus gives one that no environment makes"),
    Expected(
        "node/cluster|tracing/http/typed_config/service_name",
        "a workload without a namespace is not started",
        "istio-proxy",
        r"istio-proxy\..+",
    ),
    Expected(f"{_METADATA}/(NAME|POD_NAME|NAMESPACE|SERVICE_ACCOUNT)", "required here", _NOTHING),
    Expected(f"{_METADATA}/MESHCORE_AUDIT", "tells Pilot of the agent's access log service", _NOTHING, "true"),
    Expected(f"{_METADATA}/MESHCORE_EXTENSIONS", "tells Pilot that the agent pulls Wasm images", _NOTHING, "true"),
    Expected(f"{_METADATA}/METADATA_DISCOVERY", "an extension of Istio's own proxy", "true", "false"),
    Expected(
        f"{_METADATA}/PROXY_CONFIG/(configPath|customConfigFile|statusPort|proxyMetadata/.*)",
        "PROXY_CONFIG travels as it was given: paths of the corpus' own run and defaults are not in it",
        got=rf"{_NOTHING}|/.*",
    ),
    Expected(
        f"{_METADATA}/PROXY_CONFIG/(controlPlaneAuthPolicy|connectionSettings/globalDownstreamConnectionLimit(/value)?)",
        "as above: the first word of an enumeration, and a number in its wrapper, are written as they were",
        rf"{_NOTHING}|\d+",
        rf"{_NOTHING}|\d+|NONE",
    ),
    Expected(f"{_METADATA}/WORKLOAD_IDENTITY_SOCKET_FILE", "the socket is one of STATE_DIR", got=_NOTHING),
    Expected("bootstrap_extensions/metadata_discovery/.*", "an extension of Istio's own proxy", got=_NOTHING),
    Expected(
        "stats_config/stats_matcher/inclusion_list/patterns/prefix:workload_discovery/.*", "as above", got=_NOTHING
    ),
    Expected(
        "stats_config/stats_matcher/inclusion_list/patterns/"
        r"(prefix:access_logs\.|suffix:downstream_(cx|rq)_active)/.*",
        "losses of access records are counted, and a drain ends early when nobody is there any more",
        _NOTHING,
    ),
    Expected(
        r"stats_config/stats_matcher/inclusion_list/patterns/safe_regex:cluster\\.\.\*\\.grpc\\..*_message_count/.*",
        "the agent makes Istio's counts of gRPC messages of Envoy's own",
        _NOTHING,
    ),
    Expected("admin/address/.*", "a Unix socket of mode 0600: a port would be open to the application"),
    Expected(f"{_CLUSTERS}/prometheus_stats/load_assignment/.*/address/.*", "the admin interface, which see"),
    Expected(
        "dynamic_resources/ads_config/grpc_services/0/envoy_grpc/retry_policy/.*", "back within a second", _NOTHING
    ),
    Expected(f"{_CLUSTERS}/sds-grpc/.*/pipe/path", "the agent's socket is in STATE_DIR", got=r"/.*sds\.sock"),
    Expected(f"{_CLUSTERS}/agent-audit/.*", "the agent's access log service", _NOTHING),
    Expected(f"{_CLUSTERS}/agent-extensions/.*", "the agent's extension configs", _NOTHING),
    Expected(
        f"{_CLUSTERS}/xds-grpc/.*",
        "Envoy talks to Pilot itself, by mTLS; the agent is the second priority, with the last good configuration",
    ),
    Expected(
        f"{_CLUSTERS}/[^/]+/transport_socket/typed_config/common_tls_context/.*/sds_config/api_config_source/"
        "(api_type|grpc_services/0/envoy_grpc/retry_policy/.*)",
        "the agent's secrets come by incremental xDS, and are asked for again within half a second",
    ),
    Expected(
        "cluster_manager/enable_deferred_cluster_creation",
        "a dump has no endpoints of clusters that were not made, and the last good configuration is made of dumps",
        "true",
        _NOTHING,
    ),
)


def differences(wanted: Mapping[str, Any], got: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every place where they differ, with what is wanted and what is there."""
    theirs, ours = dict(_places(wanted)), dict(_places(got))
    for place in sorted(theirs.keys() | ours.keys()):
        one, other = theirs.get(place, _MISSING), ours.get(place, _MISSING)
        if one != other:
            yield place, one, other


def unexpected(wanted: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    """The differences that nobody expects, as lines."""
    return [
        f"{place}: wanted {one}, got {other}"
        for place, one, other in differences(wanted, got)
        if not any(expected.covers(place, one, other) for expected in EXPECTED)
    ]


def _places(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if value.get("@type") == _TYPED_STRUCT:
            value = {"@type": value["type_url"], **value.get("value", {})}
        if not value and place != "node/locality":
            yield place, "{}"
        for key, item in value.items():
            yield from _places(item, f"{place}/{key}" if place else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, f"{place}/{_name(item, index)}")
    else:
        yield place, str(value).lower() if isinstance(value, bool) else str(value)


def _name(item: Any, index: int) -> str:
    """What tells an item from the others of its list."""
    if isinstance(item, dict):
        if name := item.get("name") or item.get("tag_name"):
            return str(name)
        for kind in ("prefix", "suffix", "safe_regex"):
            if kind in item and len(item) == 1:
                return f"{kind}:{item[kind]['regex'] if kind == 'safe_regex' else item[kind]}"
    return str(index)
