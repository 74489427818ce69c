"""Whether a piece of JSON is a piece of Envoy's configuration: what an EnvoyFilter's patch is checked with. Pure."""

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from google.protobuf import any_pb2, descriptor, json_format, message

from meshcore.errors import ErrorCode, MeshError
from meshcore.xds import registry
from meshcore.xds.constraints import wrong_values

_TYPE = "@type"
_OTHER_PROXY = re.compile(r"(?:istio|io\.istio|stats)\.[A-Za-z0-9_.]+")
_EMPTY = "type.googleapis.com/google.protobuf.Empty"
_DEEPEST = 70
"""Levels of a patch: the rest is for what it becomes a part of."""
_LEVELS = {"google.protobuf.Struct": 2}
"""A map has messages for its entries."""
FRAGMENTS: Mapping[str, str] = {
    "LISTENER": "envoy.config.listener.v3.Listener",
    "LISTENER_FILTER": "envoy.config.listener.v3.ListenerFilter",
    "FILTER_CHAIN": "envoy.config.listener.v3.FilterChain",
    "NETWORK_FILTER": "envoy.config.listener.v3.Filter",
    "HTTP_FILTER": "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
    "ROUTE_CONFIGURATION": "envoy.config.route.v3.RouteConfiguration",
    "VIRTUAL_HOST": "envoy.config.route.v3.VirtualHost",
    "HTTP_ROUTE": "envoy.config.route.v3.Route",
    "CLUSTER": "envoy.config.cluster.v3.Cluster",
    "EXTENSION_CONFIG": "envoy.config.core.v3.TypedExtensionConfig",
    "BOOTSTRAP": "envoy.config.bootstrap.v3.Bootstrap",
}
"""The message that a patch of each kind of object is a part of."""


@dataclass(frozen=True, slots=True)
class FragmentCheck:
    """Why it cannot be read at all, or what Envoy would not take from it."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_fragment(kind: str, value: Mapping[str, Any]) -> FragmentCheck:
    """Read `value` as the message of `FRAGMENTS[kind]`, extensions in `Any` included."""
    errors: list[str] = []
    warnings: list[str] = []
    document = _with_known_types(value, errors, warnings)
    if errors:
        return FragmentCheck(tuple(errors))
    target = registry.message_class(FRAGMENTS[kind])
    try:
        read = json_format.ParseDict(document, target(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        return FragmentCheck((_words(error),))
    if fault := _depth_fault(read):
        return FragmentCheck((fault,))
    try:
        json_format.ParseDict(document, target())
    except json_format.ParseError as error:
        warnings.append(_words(error))
    for part in _parts(read):
        warnings.extend(_doubts(part))
    warnings.extend(f"Envoy refuses it: {fault}" for fault in wrong_values(read))
    return FragmentCheck(warnings=tuple(dict.fromkeys(warnings)))


def read_fragment(kind: str, value: Mapping[str, Any]) -> message.Message:
    """`value` as the message of `FRAGMENTS[kind]`, fields that the message does not have left out.

    INVALID says why stock Envoy could not read it.
    """
    faults: list[str] = []
    document = _with_known_types(value, faults, faults)
    if faults:
        raise MeshError(ErrorCode.INVALID, "; ".join(dict.fromkeys(faults)))
    target = registry.message_class(FRAGMENTS[kind])()
    try:
        json_format.ParseDict(document, target, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise MeshError(ErrorCode.INVALID, _words(error)) from error
    read: message.Message = target
    if fault := _depth_fault(read):
        raise MeshError(ErrorCode.INVALID, fault)
    _make_canonical(read)
    return read


def _depth_fault(whole: message.Message) -> str:
    """Why it cannot be read again once it is part of a resource: protobuf's parsers give up at 100 levels."""
    try:
        depth = _depth(whole)
    except (message.DecodeError, RecursionError):
        depth = _DEEPEST + 1
    return f"it is nested more than {_DEEPEST} levels deep" if depth > _DEEPEST else ""


def _depth(part: message.Message) -> int:
    """Levels of messages; what is in an `Any` is read by itself, so it starts anew."""
    if isinstance(part, any_pb2.Any):
        inner = registry.unpack(part)
        depth = _depth(inner) if inner is not None else 0
        return depth if depth > _DEEPEST else 1
    below = 0
    for child in _children(part):
        below = max(below, _depth(child))
    return below + _LEVELS.get(part.DESCRIPTOR.full_name, 1)


def _make_canonical(whole: message.Message) -> None:
    """Serialise what is in every `Any` the same way every time: JSON is read into maps of random order."""
    if isinstance(whole, any_pb2.Any):
        inner = registry.unpack(whole)
        if inner is not None:
            _make_canonical(inner)
            whole.value = inner.SerializeToString(deterministic=True)
        return
    for part in _children(whole):
        _make_canonical(part)


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).partition(" Available Fields")[0][:300]


def _with_known_types(value: Any, errors: list[str], warnings: list[str]) -> Any:
    """The same value with every type of an `Any` imported; what only another proxy knows is emptied and warned of."""
    if isinstance(value, Mapping):
        name = value.get(_TYPE)
        if _TYPE in value and not isinstance(name, str):
            errors.append(f"{_TYPE} is not the name of a message")
        elif isinstance(name, str):
            short = name.rpartition("/")[2]
            if _OTHER_PROXY.fullmatch(short):
                warnings.append(f"{short} is an extension that Envoy itself does not have")
                return {_TYPE: _EMPTY}
            if fault := _type_fault(short):
                errors.append(fault)
        return {key: _with_known_types(item, errors, warnings) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_known_types(item, errors, warnings) for item in value]
    return value


@lru_cache(maxsize=1024)
def _type_fault(name: str) -> str | None:
    if ".v2." in name or name.startswith("envoy.api."):
        return f"{name} is of Envoy's API v2, which is no longer: use its v3 type"
    try:
        registry.message_class(name)
    except KeyError:
        return f"there is no message {name!r} in Envoy's API"
    return None


def _parts(whole: message.Message) -> Iterator[message.Message]:
    """The message and every message in it, those in `Any` too."""
    yield whole
    if isinstance(whole, any_pb2.Any):
        inner = registry.unpack(whole)
        if inner is not None:
            yield from _parts(inner)
        return
    for part in _children(whole):
        yield from _parts(part)


def _children(whole: message.Message) -> Iterator[message.Message]:
    for field, value in whole.ListFields():
        if field.type != descriptor.FieldDescriptor.TYPE_MESSAGE:
            continue
        if not field.message_type.GetOptions().map_entry:
            yield from (value,) if isinstance(value, message.Message) else value
        elif field.message_type.fields_by_name["value"].message_type is not None:
            yield from value.values()


def _doubts(part: message.Message) -> Iterator[str]:
    if isinstance(part, any_pb2.Any):
        inner = registry.unpack(part)
        if inner is not None and _is_frozen(inner):
            yield f"{inner.DESCRIPTOR.full_name} is deprecated: Envoy no longer develops it"
    elif _is_extension(part.DESCRIPTOR) and not {"typed_config", "config_discovery"} & _fields_of(part):
        yield f"the extension {getattr(part, 'name', '')!r} has neither typedConfig nor configDiscovery"


def _is_extension(kind: descriptor.Descriptor) -> bool:
    """Whether messages of that kind carry an extension's settings: Envoy finds none by the name alone."""
    return "typed_config" in kind.fields_by_name


def _fields_of(part: message.Message) -> set[str]:
    return {field.name for field, _ in part.ListFields()}


def _is_frozen(inner: message.Message) -> bool:
    status = importlib.import_module("udpa.annotations.status_pb2")
    options = inner.DESCRIPTOR.file.GetOptions()
    return bool(options.Extensions[status.file_status].package_version_status == status.FROZEN)
