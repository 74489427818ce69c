"""The client certificate that a gateway tells of: Envoy's `x-forwarded-client-cert`. Pure.

Elements are separated by commas, each is `key=value` pairs separated by semicolons; values may be quoted, with `\\"`
inside (Envoy, "x-forwarded-client-cert"). Only the last element counts: it is the one that the gateway in front of us
wrote, the ones before it are what its client said.
"""

from collections.abc import Iterator

from meshcore.errors import MeshError
from meshcore.identity import SpiffeId

LARGEST_HEADER = 16 * 1024


class ForwardedRefused(Exception):
    """Why a header proves nothing; for the log, never for the caller."""


def forwarded_identity(header: str) -> SpiffeId:
    """The one SPIFFE identity of the last element; ForwardedRefused when there is none, or more than one."""
    if len(header) > LARGEST_HEADER:
        raise ForwardedRefused("the forwarded certificate is too large")
    element = list(_split(header, ","))[-1]
    pairs = [part.partition("=") for part in _split(element, ";")]
    uris = [_unquoted(value.strip()) for key, equals, value in pairs if equals and key.strip().lower() == "uri"]
    if len(uris) != 1:
        raise ForwardedRefused("the forwarded certificate does not name exactly one URI")
    try:
        return SpiffeId.parse(uris[0])
    except MeshError:
        raise ForwardedRefused("the forwarded certificate names no workload identity") from None


def _split(text: str, separator: str) -> Iterator[str]:
    """Parts between separators that are not quoted."""
    part: list[str] = []
    quoted = escaped = False
    for char in text:
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            yield "".join(part)
            part = []
            continue
        part.append(char)
    if quoted:
        raise ForwardedRefused("a quotation in the forwarded certificate has no end")
    yield "".join(part)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return value
