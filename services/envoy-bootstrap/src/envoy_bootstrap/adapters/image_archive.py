"""The module in a layer that is an archive. Read in memory and bounded: no file is made of anything in it."""

import gzip
import io
import tarfile
import zlib

from meshcore.errors import ErrorCode, MeshError

_NAME = "plugin.wasm"
_MAX_UNPACKED = 256 << 20
"""Bytes that an archive may unpack to."""
_MAX_MEMBERS = 10_000
_GZIP = b"\x1f\x8b"


class _Bounded(io.RawIOBase):
    """Another file up to so many bytes; MeshError beyond them."""

    def __init__(self, inner: io.BufferedIOBase, limit: int) -> None:
        self._inner = inner
        self._left = limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        found = self._inner.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(found)
        if self._left < 0:
            raise MeshError(ErrorCode.UNAVAILABLE, "a layer of the image unpacks to more bytes than are allowed")
        return found


def plugin_in(archive: bytes, limit: int, unpacked: int = _MAX_UNPACKED) -> bytes | None:
    """`plugin.wasm` at the archive's root, of at most `limit` bytes; None where there is none.

    UNAVAILABLE for what is no archive, or too large.
    """
    inner: io.BufferedIOBase = io.BytesIO(archive)
    if archive.startswith(_GZIP):
        inner = gzip.GzipFile(fileobj=inner)
    try:
        with tarfile.open(fileobj=_Bounded(inner, unpacked), mode="r|") as members:
            for number, member in enumerate(members):
                if number >= _MAX_MEMBERS:
                    raise MeshError(ErrorCode.UNAVAILABLE, "a layer of the image has too many files")
                if member.isreg() and member.name.removeprefix("./") == _NAME:
                    if member.size > limit:
                        raise MeshError(ErrorCode.UNAVAILABLE, f"the module is larger than {limit} bytes")
                    file = members.extractfile(member)
                    return file.read() if file is not None else None
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
        raise MeshError(ErrorCode.UNAVAILABLE, "a layer of the image is no archive") from error
    return None
