"""Conditions on what filters have found out about a request, a token's claims say, for the simulator. Pure."""

from collections.abc import Mapping
from typing import Any

from pilot.core.simulation.string_match import string_matches


def metadata_value(matcher: Any, metadata: Mapping[str, Any]) -> Any:
    """What lies at the matcher's path; None when nothing does."""
    value: Any = metadata.get(matcher.filter)
    for part in matcher.path:
        value = value.get(part.key) if isinstance(value, Mapping) else None
    return value


def metadata_matches(matcher: Any, metadata: Mapping[str, Any]) -> bool:
    """Whether it is what the matcher wants."""
    return bool(_value_matches(matcher.value, metadata_value(matcher, metadata)) != matcher.invert)


def _value_matches(matcher: Any, value: Any) -> bool:
    match matcher.WhichOneof("match_pattern"):
        case "string_match":
            return isinstance(value, str) and string_matches(matcher.string_match, value)
        case "list_match":
            listed = value if isinstance(value, list | tuple) else ()
            return any(_value_matches(matcher.list_match.one_of, item) for item in listed)
        case "or_match":
            return any(_value_matches(item, value) for item in matcher.or_match.value_matchers)
    raise ValueError(f"the simulator does not know {matcher.WhichOneof('match_pattern')} of metadata")
