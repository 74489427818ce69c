"""Envoy's StringMatcher, for the simulator. Pure."""

from typing import Any

import re2


def string_matches(matcher: Any, value: str) -> bool:
    """Envoy's StringMatcher."""
    kind = matcher.WhichOneof("match_pattern")
    if kind == "safe_regex":
        return bool(re2.fullmatch(matcher.safe_regex.regex, value))
    wanted = getattr(matcher, kind)
    wanted, value = (wanted.lower(), value.lower()) if matcher.ignore_case else (wanted, value)
    if kind == "prefix":
        return bool(value.startswith(wanted))
    if kind == "suffix":
        return bool(value.endswith(wanted))
    return bool(wanted in value if kind == "contains" else wanted == value)
