"""Modules whose checksum nobody has written down: images, and what is there at a URL. What was pulled is remembered, so
that the next start needs no registry, by the plugin's imagePullPolicy."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from meshcore.errors import ErrorCode, MeshError
from meshcore.tls import write_private

from envoy_bootstrap.adapters.guarded_fetch import GuardedFetch
from envoy_bootstrap.adapters.image_registry import ImageRegistry
from envoy_bootstrap.adapters.wasm_modules import WasmModules
from envoy_bootstrap.core.image_reference import parse_image
from envoy_bootstrap.core.pulled_extension import Wanted
from envoy_bootstrap.core.registry_access import NOBODY, credentials_for

_WITHIN = 60.0
_MAGIC = b"\0asm"


class _Pulled(NamedTuple):
    """What a reference stood for: the image's digests, and the module's SHA-256."""

    digests: tuple[str, ...] = ()
    module: str = ""


class PulledModules:
    """`modules` keeps the files; what stands for what is in `directory`. Several plugins of one image pull it once."""

    def __init__(self, directory: Path, modules: WasmModules, fetch: GuardedFetch) -> None:
        self._directory = directory
        self._modules = modules
        self._fetch = fetch
        self._locks: dict[Path, asyncio.Lock] = {}

    async def get(self, wanted: Wanted, credentials: bytes) -> Path:
        """The module's file. `credentials` is a .dockerconfigjson or empty. INVALID for what names no image,
        UNAVAILABLE when it cannot be had as it should be."""
        record = self._directory / hashlib.sha256(f"{wanted.url}\n{wanted.secret}".encode()).hexdigest()
        try:
            async with asyncio.timeout(_WITHIN), self._locks.setdefault(record, asyncio.Lock()):
                if wanted.url.startswith(("http://", "https://")):
                    return await self._from_web(wanted, record)
                return await self._from_registry(wanted, credentials, record)
        except TimeoutError:
            raise MeshError(ErrorCode.UNAVAILABLE, f"the module was not there within {_WITHIN:g} s") from None

    async def _from_web(self, wanted: Wanted, record: Path) -> Path:
        before = await asyncio.to_thread(_read, record)
        if not wanted.always and (file := await self._file(before)) is not None:
            return file
        return await self._take(await self._modules.fetched(wanted.url), (), record)

    async def _from_registry(self, wanted: Wanted, credentials: bytes, record: Path) -> Path:
        image = parse_image(wanted.url)
        before = await asyncio.to_thread(_read, record)
        looks = wanted.always or (image.is_moving and not wanted.if_not_present)
        if not looks and _is_wanted(wanted, before.digests) and (file := await self._file(before)) is not None:
            return file
        access = credentials_for(image.registry, credentials) if credentials else NOBODY
        registry = ImageRegistry(self._fetch, image, access)
        manifest = await registry.manifest()
        if not _is_wanted(wanted, manifest.digests):
            raise MeshError(
                ErrorCode.UNAVAILABLE, f"the image has the digest {manifest.digests[-1]}, not sha256:{wanted.sha256}"
            )
        if manifest.digests == before.digests and (file := await self._file(before)) is not None:
            return file
        return await self._take(await registry.module(manifest), manifest.digests, record)

    async def _file(self, pulled: _Pulled) -> Path | None:
        return await asyncio.to_thread(self._modules.file_of, pulled.module) if pulled.module else None

    async def _take(self, module: bytes, digests: tuple[str, ...], record: Path) -> Path:
        if not module.startswith(_MAGIC):
            raise MeshError(ErrorCode.UNAVAILABLE, "what was pulled is no Wasm module")
        return await asyncio.to_thread(self._kept, module, digests, record)

    def _kept(self, module: bytes, digests: tuple[str, ...], record: Path) -> Path:
        try:
            sha256 = self._modules.keep(module)
            record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(record, json.dumps({"digests": digests, "module": sha256}).encode())
        except OSError as error:
            raise MeshError(ErrorCode.UNAVAILABLE, f"the module cannot be kept: {error.strerror}") from None
        return self._modules.path_of(sha256)


def _is_wanted(wanted: Wanted, digests: tuple[str, ...]) -> bool:
    return not wanted.sha256 or f"sha256:{wanted.sha256}" in digests


def _read(record: Path) -> _Pulled:
    """Nothing, where nothing readable is there."""
    try:
        document = json.loads(record.read_bytes())
        return _Pulled(tuple(map(str, document["digests"])), str(document["module"]))
    except (OSError, ValueError, KeyError, TypeError):
        return _Pulled()
