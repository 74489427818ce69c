"""Durations of the models; settings read the same form (meshcore.durations)."""

from meshcore.durations import format_duration, parse_duration

__all__ = ["format_duration", "parse_duration"]
