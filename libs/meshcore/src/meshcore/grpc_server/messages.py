"""Messages in the content of a stream: a flag, a length of four bytes, the message (PROTOCOL-HTTP2). Pure."""

import zlib

from meshcore.errors import ErrorCode, MeshError

PREFIX = 5
_GZIP = 16 + zlib.MAX_WBITS


class Messages:
    """Puts messages together. `largest` bounds one, in bytes, as it is meant; RESOURCE_EXHAUSTED when it is larger."""

    __slots__ = ("_buffer", "_encoding", "_largest")

    def __init__(self, largest: int, encoding: str) -> None:
        self._largest = largest
        self._encoding = encoding
        self._buffer = bytearray()

    @property
    def partial(self) -> int:
        """Bytes of a message that has not come whole."""
        return len(self._buffer)

    def add(self, data: bytes) -> list[bytes]:
        """Messages that are whole now; INVALID when a flag or the compression makes no sense."""
        if not self._buffer and len(data) >= PREFIX and not data[0]:
            size = int.from_bytes(data[1:PREFIX])
            if size <= self._largest and len(data) == PREFIX + size:
                # One message and nothing else: what nearly always comes.
                return [data[PREFIX:]]
        # In place: a client that sends a large message byte by byte is not to have it copied for each.
        self._buffer += data
        found, offset = [], 0
        while len(self._buffer) - offset >= PREFIX:
            begin = offset + PREFIX
            flag, size = self._buffer[offset], int.from_bytes(self._buffer[offset + 1 : begin])
            if size > self._largest:
                raise MeshError(ErrorCode.RESOURCE_EXHAUSTED, f"a message has at most {self._largest} bytes")
            if len(self._buffer) - begin < size:
                break
            offset = begin + size
            message = bytes(self._buffer[begin:offset])
            found.append(message if flag == 0 else self._inflated(flag, message))
        del self._buffer[:offset]
        return found

    def _inflated(self, flag: int, message: bytes) -> bytes:
        if flag != 1 or self._encoding != "gzip":
            raise MeshError(ErrorCode.INTERNAL, "a message is compressed in no way that was said")
        inflate = zlib.decompressobj(_GZIP)
        try:
            plain = inflate.decompress(message, self._largest)
        except zlib.error:
            raise MeshError(ErrorCode.INTERNAL, "a compressed message is damaged") from None
        if inflate.unconsumed_tail:
            raise MeshError(ErrorCode.RESOURCE_EXHAUSTED, f"a message has at most {self._largest} bytes")
        if not inflate.eof:
            raise MeshError(ErrorCode.INTERNAL, "a compressed message is damaged")
        return plain


def prefix(message: bytes) -> bytes:
    """What is sent before a message that is not compressed."""
    return b"\0" + len(message).to_bytes(4)
