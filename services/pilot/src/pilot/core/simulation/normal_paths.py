"""How a connection manager changes the path of a request before anything looks at it, for the simulator. Pure.

Seen at Envoy: with `normalize_path` what need not be encoded is decoded, `\\` is `/`, and dot segments are resolved;
with UNESCAPE_AND_FORWARD encoded slashes are slashes before that, and with `merge_slashes` neighbours are one after it.
A fragment is cut off in any case.
"""

import re
from typing import Any

_UNESCAPE_AND_FORWARD = 4
_UNRESERVED = re.compile(r"%(2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9Aa]|5[Ff]|6[1-9A-Fa-f]|7[0-9Aa]|7[Ee])")
_SLASH = re.compile(r"%2[Ff]|%5[Cc]")
_SLASHES = re.compile(r"/{2,}")


def normal_path(manager: Any, target: str) -> str:
    """The path and query of a request as this connection manager's filters see them."""
    path, mark, query = target.partition("#")[0].partition("?")
    if manager.path_with_escaped_slashes_action == _UNESCAPE_AND_FORWARD:
        path = _SLASH.sub("/", path)
    if manager.normalize_path.value:
        decoded = _UNRESERVED.sub(lambda found: chr(int(found[1], 16)), path)
        path = _without_dots(decoded.replace("\\", "/"))
    if manager.merge_slashes:
        path = _SLASHES.sub("/", path)
    return path + mark + query


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for index, segment in enumerate(segments):
        if segment not in (".", ".."):
            kept.append(segment)
            continue
        if segment == ".." and kept:
            kept.pop()
        if index == len(segments) - 1:
            kept.append("")
    return "/" + "/".join(kept)
