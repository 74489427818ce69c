"""What the headers of a request say, and the header blocks of answers (gRPC over HTTP/2, PROTOCOL-HTTP2). Pure."""

from dataclasses import dataclass, field
from functools import lru_cache

from meshcore.errors import GRPC_STATUS, ErrorCode
from meshcore.http2.hpack import Headers, encode

OK = 0
UNKNOWN = 2
UNIMPLEMENTED = 12
INTERNAL = GRPC_STATUS[ErrorCode.INTERNAL]
HEADER_COST = 160
"""Bytes that a header takes besides its text."""
LONGEST_MESSAGE = 2048
"""Bytes of a `grpc-message` that are sent, in whole characters. Quoted they are thrice as many at most: one frame has
room for them, and gRPC's clients take them (8 KiB)."""
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_PSEUDO = frozenset({":method", ":path", ":scheme", ":authority"})
_ODD = frozenset("\0\r\n")
_HOP_BY_HOP = frozenset({"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"})
_CONTENT_TYPES = ("application/grpc", "application/grpc+proto")
ANSWER = encode(((":status", "200"), ("content-type", "application/grpc")))
"""What an answer begins with."""
DONE = encode((("grpc-status", "0"),))
"""What one that went well ends with."""


class Malformed(Exception):
    """The request breaks a rule of HTTP/2: its stream is reset (RFC 9113 §8.1.1)."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request before its first message. `metadata` has no pseudo headers, `timeout` is in seconds; all of it takes
    about `size` bytes."""

    method: str
    metadata: Headers = field(repr=False)
    timeout: float | None = None
    encoding: str = "identity"
    refusal: bytes | None = None
    """The whole answer, when the headers alone refuse it."""
    size: int = 0


def read_head(headers: Headers) -> Head:
    """What is asked; Malformed when it is no request at all."""
    pseudo: dict[str, str] = {}
    fields: dict[str, str] = {}
    for name, value in headers:
        if name.startswith(":"):
            if name not in _PSEUDO or name in pseudo or fields:
                raise Malformed
            pseudo[name] = value
        elif not name or name != name.lower() or name in _HOP_BY_HOP or not _ODD.isdisjoint(value):
            raise Malformed
        else:
            fields[name] = value
    if not pseudo.keys() >= {":method", ":path", ":scheme"}:
        raise Malformed
    metadata = headers[len(pseudo) :]
    if pseudo[":method"] != "POST" or fields.get("content-type", "").partition(";")[0] not in _CONTENT_TYPES:
        return Head(pseudo[":path"], metadata, refusal=encode(((":status", "415"),)))
    timeout = fields.get("grpc-timeout")
    seconds = None if timeout is None else read_timeout(timeout)
    if timeout is not None and seconds is None:
        return Head(pseudo[":path"], metadata, refusal=refusal(INTERNAL, "the time-out of the call is not readable"))
    encoding = fields.get("grpc-encoding", "identity")
    if encoding not in ("identity", "gzip"):
        return Head(pseudo[":path"], metadata, refusal=refusal(UNIMPLEMENTED, "messages may be gzip at most"))
    size = sum(len(name) + len(value) + HEADER_COST for name, value in headers)
    return Head(pseudo[":path"], metadata, seconds, encoding, size=size)


def read_timeout(text: str) -> float | None:
    """Seconds of a `grpc-timeout`: up to eight digits and a unit; None when it is neither."""
    digits, unit = text[:-1], text[-1:]
    if not digits.isascii() or not digits.isdigit() or len(digits) > 8 or unit not in _UNITS:
        return None
    return int(digits) * _UNITS[unit]


@lru_cache(maxsize=256)
def refusal(status: int, message: str) -> bytes:
    """An answer that has no message: headers and status in one block."""
    return encode(((":status", "200"), ("content-type", "application/grpc"), *_status(status, message)))


@lru_cache(maxsize=256)
def ending(status: int, message: str) -> bytes:
    """The status of an answer that has begun."""
    return encode(_status(status, message))


def _status(status: int, message: str) -> Headers:
    told = message.encode()[:LONGEST_MESSAGE].decode(errors="ignore")
    quoted = "".join(chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}" for byte in told.encode())
    return (("grpc-status", str(status)), ("grpc-message", quoted))
