"""Durations as Go writes them (time.ParseDuration), which is what Istio's YAML and environment use. Pure."""

import re
from datetime import timedelta
from decimal import Decimal

_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_SECONDS = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
_MAX_SECONDS = Decimal("9223372036.854775807")
"""What fits 64 bits of nanoseconds, as Go counts: 292 years."""


def parse_duration(value: object) -> timedelta:
    """Read `1h30m`, `1.5s`, `100ms`, `0`; ValueError for anything else. Nothing finer than a microsecond."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError("a duration is a string such as 1.5s, 100ms or 1h30m")
    text = value.removeprefix("-").removeprefix("+")
    sign = -1 if value.startswith("-") else 1
    if text == "0":
        return timedelta(0)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("a duration is a string such as 1.5s, 100ms or 1h30m")
    seconds = sum((Decimal(number) * _UNIT_SECONDS[unit] for number, unit in parts), Decimal(0))
    if seconds > _MAX_SECONDS:
        raise ValueError("a duration is at most 292 years")
    microseconds = seconds * 1_000_000
    if microseconds % 1:
        raise ValueError("a duration is in whole microseconds")
    return timedelta(microseconds=sign * int(microseconds))


def format_duration(value: timedelta) -> str:
    """Write seconds with as many decimals as needed: `1.5s`, `0s` (proto3 JSON's form)."""
    seconds = Decimal(value // timedelta(microseconds=1)) / 1_000_000
    return f"{seconds.normalize():f}s"
