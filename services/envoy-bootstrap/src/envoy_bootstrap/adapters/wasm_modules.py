"""Wasm modules for Envoy: fetched over HTTP(S), checked by their SHA-256, kept on disk under it.

A module is asked for by its checksum, so what is kept never grows old and nothing but the module that config names is
ever given out.
"""

import asyncio
import hashlib
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.adapters.guarded_fetch import GuardedFetch

_log = structlog.get_logger("wasm")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OK = 200
MAX_MODULE = 64 << 20
"""Bytes of the largest module."""


class WasmModules:
    """The modules of one agent; several requests for one module fetch it once."""

    def __init__(self, directory: Path, fetch: GuardedFetch) -> None:
        self._directory = directory
        self._fetch = fetch
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, url: str, sha256: str) -> bytes:
        """The module; INVALID for a request that names none, UNAVAILABLE when it cannot be had as it should be."""
        if not _SHA256.fullmatch(sha256):
            raise MeshError(ErrorCode.INVALID, "sha256 is not 64 hexadecimal digits")
        async with self._locks.setdefault(sha256, asyncio.Lock()):
            kept = await asyncio.to_thread(self._kept, sha256)
            if kept is not None:
                return kept
            module = await self.fetched(url)
            found = _digest(module)
            if found != sha256:
                raise MeshError(ErrorCode.UNAVAILABLE, f"the module has the SHA-256 {found}, not {sha256}")
            await asyncio.to_thread(self.keep, module)
            return module

    async def fetched(self, url: str) -> bytes:
        """What is there now, whatever it is; INVALID for a URL that is not the web's, UNAVAILABLE for no answer."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise MeshError(ErrorCode.INVALID, "url is neither http nor https")
        answer = await self._fetch.get(url, MAX_MODULE)
        if answer.status != _OK:
            raise MeshError(
                ErrorCode.UNAVAILABLE, f"the module cannot be fetched: the answer has status {answer.status}"
            )
        return answer.body

    def path_of(self, sha256: str) -> Path:
        """Where a module is kept, if it is."""
        return self._directory / sha256

    def file_of(self, sha256: str) -> Path | None:
        """The file of a module that is kept, and is what it was."""
        return self.path_of(sha256) if _SHA256.fullmatch(sha256) and self._kept(sha256) is not None else None

    def keep(self, module: bytes) -> str:
        """Write it down; its SHA-256."""
        sha256 = _digest(module)
        file = self.path_of(sha256)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as unfinished:
            unfinished.write(module)
        os.replace(unfinished.name, file)
        _log.info("wasm module fetched", sha256=sha256, bytes=len(module))
        return sha256

    def _kept(self, sha256: str) -> bytes | None:
        try:
            kept = self.path_of(sha256).read_bytes()
        except FileNotFoundError:
            return None
        return kept if _digest(kept) == sha256 else None


def _digest(module: bytes) -> str:
    return hashlib.sha256(module).hexdigest()
