"""Wasm modules for Envoy: fetched over HTTP(S), checked by their SHA-256, kept on disk under it.

A module is asked for by its checksum, so what is kept never grows old and nothing but the module that config names is
ever given out.
"""

import asyncio
import hashlib
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from meshcore.errors import ErrorCode, MeshError

_log = structlog.get_logger("wasm")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIMEOUT = 25.0
MAX_MODULE = 64 << 20
"""Bytes of the largest module."""


class WasmModules:
    """The modules of one agent; several requests for one module fetch it once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, url: str, sha256: str) -> bytes:
        """The module; INVALID for a request that names none, UNAVAILABLE when it cannot be had as it should be."""
        if not _SHA256.fullmatch(sha256):
            raise MeshError(ErrorCode.INVALID, "sha256 is not 64 hexadecimal digits")
        if urlsplit(url).scheme not in ("http", "https"):
            raise MeshError(ErrorCode.INVALID, "url is neither http nor https")
        file = self._directory / sha256
        async with self._locks.setdefault(sha256, asyncio.Lock()):
            return await asyncio.to_thread(_kept_or_fetched, file, url, sha256)


def _kept_or_fetched(file: Path, url: str, sha256: str) -> bytes:
    if file.exists() and _digest(kept := file.read_bytes()) == sha256:
        return kept
    module = _fetch(url)
    found = _digest(module)
    if found != sha256:
        raise MeshError(ErrorCode.UNAVAILABLE, f"the module has the SHA-256 {found}, not {sha256}")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(module)
    os.replace(unfinished, file)
    _log.info("wasm module fetched", sha256=sha256, bytes=len(module))
    return module


def _fetch(url: str) -> bytes:
    opener = urllib.request.OpenerDirector()  # no files, no FTP, no proxies of the environment
    for handler in (
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
    ):
        opener.add_handler(handler())
    try:
        with opener.open(url, timeout=_TIMEOUT) as answer:
            module: bytes = answer.read(MAX_MODULE + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise MeshError(ErrorCode.UNAVAILABLE, f"the module cannot be fetched: {type(error).__name__}") from error
    if len(module) > MAX_MODULE:
        raise MeshError(ErrorCode.UNAVAILABLE, f"the module is larger than {MAX_MODULE} bytes")
    return module


def _digest(module: bytes) -> str:
    return hashlib.sha256(module).hexdigest()
