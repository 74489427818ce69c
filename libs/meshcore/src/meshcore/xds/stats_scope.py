"""The bounds of `envoy.access_loggers.stats`: a field of Envoy 1.40 that the Python messages do not have yet.

It travels as an unknown field, which protobuf keeps, and is written into JSON by hand. Pure.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf import any_pb2
from google.protobuf.message import Message

from meshcore.xds import registry, wire

STATS_CONFIG = "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"
MAX_SERIES = 5000
"""Series of each logger: what callers control must not fill the proxy's memory. Idle ones make room."""
_FIELD = 6


def with_stats_scope(packed: any_pb2.Any) -> any_pb2.Any:
    """The config of a stats logger with the bounds (envoy.type.v3.Scope: max_counters 1, max_histograms 3,
    enable_eviction 4)."""
    limit = wire.varint(1 << 3) + wire.varint(MAX_SERIES)
    scope = wire.chunk(1, limit) + wire.chunk(3, limit) + wire.varint(4 << 3) + wire.varint(1)
    packed.value += wire.chunk(_FIELD, scope)
    return packed


def told_stats_scope(document: Any) -> Any:
    """The same JSON with the bounds in every config of a stats logger."""
    if isinstance(document, list):
        return [told_stats_scope(item) for item in document]
    if not isinstance(document, dict):
        return document
    told = {key: told_stats_scope(value) for key, value in document.items()}
    if told.get("@type") == STATS_CONFIG and "stats_scope" not in told and "stat_prefix" not in told:
        told["stats_scope"] = {"max_counters": MAX_SERIES, "max_histograms": MAX_SERIES, "enable_eviction": True}
    return told


def untold_stats_scope(document: Any) -> Any:
    """The same JSON without the bounds, as messages that do not know them can read it."""
    if isinstance(document, list):
        return [untold_stats_scope(item) for item in document]
    if not isinstance(document, dict):
        return document
    dropped = "stats_scope" if document.get("@type") == STATS_CONFIG else None
    return {key: untold_stats_scope(value) for key, value in document.items() if key != dropped}


def restore_stats_scope(message: Message) -> bool:
    """Give the bounds to every stats logger inside that was read from JSON without them; whether there was one.

    Envoy wants either bounds or a `stat_prefix`, so one with neither had bounds.
    """
    changed = False
    for inner in _messages(message):
        if not isinstance(inner, any_pb2.Any):
            changed |= restore_stats_scope(inner)
        elif inner.type_url == STATS_CONFIG:
            if not registry.parse(STATS_CONFIG, inner.value).stat_prefix:
                with_stats_scope(inner)
                changed = True
        elif (unpacked := registry.unpack(inner)) is not None and restore_stats_scope(unpacked):
            inner.value = unpacked.SerializeToString(deterministic=True)
            changed = True
    return changed


def _messages(message: Message) -> Iterator[Any]:
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                yield from value.values()
        elif isinstance(value, Message):
            yield value
        else:
            yield from value
