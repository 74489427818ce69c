"""What Envoy's CORS filter answers by itself, and what it writes on answers, for the simulator."""

from collections.abc import Mapping
from typing import Any

from meshcore.xds import registry
from pilot.core.simulation.string_match import string_matches

FILTER = "envoy.filters.http.cors"


def cors_headers(route: Any, method: str, headers: Mapping[str, str]) -> tuple[bool, dict[str, str | None]]:
    """Whether the filter answers a preflight, and the headers of the answer, its own or the application's."""
    packed = route.typed_per_filter_config.get(FILTER)
    origin = headers.get("origin", "")
    if packed is None or not origin:
        return False, {}
    policy: Any = registry.unpack(packed)
    allowed = any(string_matches(item, origin) for item in policy.allow_origin_string_match)
    found: dict[str, str | None] = {"access-control-allow-origin": origin if allowed else None}
    if allowed and policy.allow_credentials.value:
        found["access-control-allow-credentials"] = "true"
    if method != "OPTIONS" or not headers.get("access-control-request-method"):
        return False, found | ({"access-control-expose-headers": policy.expose_headers} if allowed else {})
    if not allowed:
        forwards = policy.forward_not_matching_preflights
        return not (forwards.value or not policy.HasField("forward_not_matching_preflights")), found
    found |= {"access-control-allow-methods": policy.allow_methods, "access-control-max-age": policy.max_age}
    return True, found | {"access-control-allow-headers": policy.allow_headers}
