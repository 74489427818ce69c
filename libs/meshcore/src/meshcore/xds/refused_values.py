"""Values that fit Envoy's API and that Envoy refuses all the same (seen with Envoy 1.40). Not complete. Pure."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import re2
from google.protobuf import message, struct_pb2

from meshcore.regular_expression import regex_fault
from meshcore.xds.command_operators import format_fault
from meshcore.xds.lua import script_fault

Faults = Iterator[tuple[str, str]]
"""Fields and what is wrong with them."""

_PROTOCOL_OPTIONS = frozenset(
    {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "envoy.extensions.upstreams.tcp.v3.TcpProtocolOptions",
        "envoy.filters.network.redis_proxy",
        "envoy.filters.network.thrift_proxy",
    }
)
"""The keys that stock Envoy knows in `typed_extension_protocol_options`."""


def refused_values(part: message.Message) -> Faults:
    """What Envoy refuses of this message itself; what is in it is asked for by itself."""
    look = _LOOKS.get(part.DESCRIPTOR.full_name)
    if look is not None:
        yield from look(part)


@lru_cache(maxsize=4096)
def matches(pattern: str, text: str) -> bool:
    """Whether RE2 finds a pattern of Envoy's in a text."""
    return re2.search(pattern, text) is not None


def _of_regex(part: Any) -> Faults:
    if fault := regex_fault(part.regex):
        yield "regex", f"is no regular expression of RE2: {fault}"


def _of_lua(part: Any) -> Faults:
    if part.inline_code and (fault := script_fault(part.inline_code)):
        yield "inline_code", f"is no Lua: {fault}"
    if fault := _source_fault(part.default_source_code):
        yield "default_source_code", fault
    for name in sorted(part.source_codes):
        if fault := _source_fault(part.source_codes[name]):
            yield f"source_codes[{name}]", fault


def _of_lua_route(part: Any) -> Faults:
    if fault := _source_fault(part.source_code):
        yield "source_code", fault


def _source_fault(source: Any) -> str:
    fault = script_fault(source.inline_string) if source.inline_string else ""
    return f"is no Lua: {fault}" if fault else ""


def _of_header_option(part: Any) -> Faults:
    if fault := format_fault(part.header.value):
        yield "header.value", fault


def _of_format(part: Any) -> Faults:
    texts = (("text_format", part.text_format), ("text_format_source", part.text_format_source.inline_string))
    for name, text in texts:
        if fault := format_fault(text):
            yield name, fault
    yield from _of_document("json_format", part.json_format)


def _of_log_file(part: Any) -> Faults:
    if fault := format_fault(part.format):
        yield "format", fault
    for name in ("json_format", "typed_json_format"):
        yield from _of_document(name, getattr(part, name))


def _of_document(path: str, document: struct_pb2.Struct) -> Faults:
    for key in sorted(document.fields):
        for text in _texts(document.fields[key]):
            if fault := format_fault(text):
                yield f"{path}[{key}]", fault


def _texts(value: struct_pb2.Value) -> Iterator[str]:
    match value.WhichOneof("kind"):
        case "string_value":
            yield value.string_value
        case "list_value":
            for item in value.list_value.values:
                yield from _texts(item)
        case "struct_value":
            for key in sorted(value.struct_value.fields):
                yield from _texts(value.struct_value.fields[key])


def _of_weights(part: Any) -> Faults:
    if any(not item.HasField("weight") for item in part.clusters):
        yield "clusters", "need a weight each"
    elif part.clusters and not sum(item.weight.value for item in part.clusters):
        yield "clusters", "have weights that sum to 0"


def _of_listener(part: Any) -> Faults:
    for path, address in (
        ("address", part.address),
        *(("additional_addresses", i.address) for i in part.additional_addresses),
    ):
        socket = address.socket_address
        if socket.address and not socket.resolver_name and not is_address(socket.address):
            yield path, f"{socket.address!r} is no IP address"


def _of_cluster(part: Any) -> Faults:
    for key in sorted(part.typed_extension_protocol_options):
        if key not in _PROTOCOL_OPTIONS:
            yield "typed_extension_protocol_options", f"has the key {key!r}, which Envoy does not know"


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_LOOKS: Mapping[str, Callable[[Any], Faults]] = {
    "envoy.type.matcher.v3.RegexMatcher": _of_regex,
    "envoy.extensions.filters.http.lua.v3.Lua": _of_lua,
    "envoy.extensions.filters.http.lua.v3.LuaPerRoute": _of_lua_route,
    "envoy.config.core.v3.HeaderValueOption": _of_header_option,
    "envoy.config.core.v3.SubstitutionFormatString": _of_format,
    "envoy.extensions.access_loggers.file.v3.FileAccessLog": _of_log_file,
    "envoy.config.route.v3.WeightedCluster": _of_weights,
    "envoy.config.listener.v3.Listener": _of_listener,
    "envoy.config.cluster.v3.Cluster": _of_cluster,
}
