"""Header operations of routes and destinations: set overwrites, add appends, names sorted. Pure."""

from collections.abc import Mapping
from typing import Any

from envoy.config.core.v3 import base_pb2
from meshcore.model.virtual_service import HeaderOperations, Headers

_Option = base_pb2.HeaderValueOption
_AUTHORITY = ("host", ":authority")


def apply_headers(target: Any, headers: Headers | None) -> None:
    """Onto a Route or a weighted cluster. Pseudo headers cannot be changed here; `host` is a rewrite, see
    `authority_of`."""
    if headers is None:
        return
    if headers.request is not None:
        target.request_headers_to_add.extend(_options(headers.request))
        target.request_headers_to_remove.extend(_removed(headers.request))
    if headers.response is not None:
        target.response_headers_to_add.extend(_options(headers.response))
        target.response_headers_to_remove.extend(_removed(headers.response))


def authority_of(headers: Headers | None) -> str:
    """What `set` makes of the host, empty if it says nothing."""
    changes: Mapping[str, str] = headers.request.set if headers and headers.request else {}
    return next((value for name, value in sorted(changes.items()) if name.lower() in _AUTHORITY), "")


def _options(operations: HeaderOperations) -> list[base_pb2.HeaderValueOption]:
    found = [(name, value, _Option.OVERWRITE_IF_EXISTS_OR_ADD) for name, value in sorted(operations.set.items())]
    found += [(name, value, _Option.APPEND_IF_EXISTS_OR_ADD) for name, value in sorted(operations.add.items())]
    return [
        _Option(header=base_pb2.HeaderValue(key=name, value=value), append_action=action)
        for name, value, action in found
        if _is_ordinary(name)
    ]


def _removed(operations: HeaderOperations) -> list[str]:
    return [name for name in operations.remove if _is_ordinary(name)]


def _is_ordinary(name: str) -> bool:
    return not name.startswith(":") and name.lower() != "host"
