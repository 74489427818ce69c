"""Header blocks (RFC 7541): read with a dynamic table, written without one. Pure.

What a client repeats it sends as indices, so the same few bytes come again and again: a block that changes nothing of
the table is read once and remembered until the table changes.
"""

from meshcore.http2 import huffman

Header = tuple[str, str]
Headers = tuple[Header, ...]

TABLE_SIZE = 4096
"""Bytes of the dynamic table, the protocol's default: what SETTINGS does not change."""
_OVERHEAD = 32
_REMEMBERED = 16
_LONGEST_REMEMBERED = 256
"""Blocks that are remembered, and bytes of the longest one."""
_LONGEST_NUMBER = 5
_STATIC: Headers = (
    (":authority", ""),
    *((":method", value) for value in ("GET", "POST")),
    *((":path", value) for value in ("/", "/index.html")),
    *((":scheme", value) for value in ("http", "https")),
    *((":status", value) for value in ("200", "204", "206", "304", "400", "404", "500")),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    *(
        (name, "")
        for name in (
            *("accept-language", "accept-ranges", "accept", "access-control-allow-origin", "age", "allow"),
            *("authorization", "cache-control", "content-disposition", "content-encoding", "content-language"),
            *("content-length", "content-location", "content-range", "content-type", "cookie", "date", "etag"),
            *("expect", "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range"),
            *("if-unmodified-since", "last-modified", "link", "location", "max-forwards", "proxy-authenticate"),
            *("proxy-authorization", "range", "referer", "refresh", "retry-after", "server", "set-cookie"),
            *("strict-transport-security", "transfer-encoding", "user-agent", "vary", "via", "www-authenticate"),
        )
    ),
)
"""Appendix A, from index 1."""


class HeadersTooLarge(Exception):
    """The list is larger than its bound; what was read of it is of no use, and neither is the connection."""


class Decoder:
    """The reading side of one connection. `largest` bounds a list: its texts and 32 bytes for each header."""

    __slots__ = ("_bound", "_changed", "_dynamic", "_largest", "_remembered", "_size")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._dynamic: list[tuple[str, str, int]] = []
        self._size = 0
        self._bound = TABLE_SIZE
        self._remembered: dict[bytes, Headers] = {}
        self._changed = False

    def decode(self, block: bytes) -> Headers:
        """The headers of a block, the same object for the same block; ValueError when it is malformed."""
        known = self._remembered.get(block)
        if known is not None:
            return known
        self._changed = False
        headers = self._read(block)
        if self._changed:
            self._remembered.clear()
        elif len(block) <= _LONGEST_REMEMBERED:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[block] = headers
        return headers

    def _read(self, block: bytes) -> Headers:
        headers: list[Header] = []
        size = offset = 0
        while offset < len(block):
            first = block[offset]
            if first & 0x80:
                index, offset = _number(block, offset, 7)
                header = self._indexed(index)
            elif first & 0xE0 == 0x20:
                if headers:
                    raise ValueError("a new size of the table after a header")
                bound, offset = _number(block, offset, 5)
                self._resize(bound)
                continue
            else:
                adds = bool(first & 0x40)
                index, offset = _number(block, offset, 6 if adds else 4)
                name = self._indexed(index)[0] if index else None
                if name is None:
                    name, offset = _text(block, offset)
                value, offset = _text(block, offset)
                header = (name, value)
                if adds:
                    self._add(name, value)
            size += len(header[0]) + len(header[1]) + _OVERHEAD
            if size > self._largest:
                raise HeadersTooLarge
            headers.append(header)
        return tuple(headers)

    def _indexed(self, index: int) -> Header:
        if 0 < index <= len(_STATIC):
            return _STATIC[index - 1]
        place = index - len(_STATIC) - 1
        if not 0 <= place < len(self._dynamic):
            raise ValueError("an index beyond the table")
        name, value, _ = self._dynamic[place]
        return name, value

    def _add(self, name: str, value: str) -> None:
        self._changed = True
        size = len(name) + len(value) + _OVERHEAD
        self._evict(self._bound - size)
        if size <= self._bound:
            self._dynamic.insert(0, (name, value, size))
            self._size += size

    def _resize(self, bound: int) -> None:
        if bound > TABLE_SIZE:
            raise ValueError("a table larger than allowed")
        self._changed = True
        self._bound = bound
        self._evict(bound)

    def _evict(self, room: int) -> None:
        while self._dynamic and self._size > room:
            self._size -= self._dynamic.pop()[2]


def _number(block: bytes, offset: int, prefix: int) -> tuple[int, int]:
    """An integer of §5.1 and where it ends; ValueError when it is cut off or beyond all measure."""
    limit = (1 << prefix) - 1
    value = block[offset] & limit
    offset += 1
    if value < limit:
        return value, offset
    for place in range(_LONGEST_NUMBER):
        if offset >= len(block):
            break
        byte = block[offset]
        offset += 1
        value += (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, offset
    raise ValueError("a number that is cut off, or too large")


def _text(block: bytes, offset: int) -> tuple[str, int]:
    if offset >= len(block):
        raise ValueError("a text that is cut off")
    coded = block[offset] & 0x80
    length, offset = _number(block, offset, 7)
    end = offset + length
    if end > len(block):
        raise ValueError("a text that is cut off")
    data = block[offset:end]
    return (huffman.decode(data) if coded else data).decode("latin-1"), end


def encode(headers: Headers) -> bytes:
    """A block that needs no table: a status that the static one has as its index, everything else as it is."""
    block = bytearray()
    for header in headers:
        if header in _STATIC and header[1]:
            block.append(0x80 | _STATIC.index(header) + 1)
            continue
        block.append(0)
        for text in header:
            data = text.encode("latin-1", "replace")
            block += _length(len(data)) + data
    return bytes(block)


def _length(value: int) -> bytes:
    if value < 127:
        return bytes((value,))
    value -= 127
    data = bytearray((127,))
    while value >= 128:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
