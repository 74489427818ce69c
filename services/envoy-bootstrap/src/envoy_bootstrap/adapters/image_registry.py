"""Wasm images from registries (OCI distribution specification 1.1): manifest, index, layers, and being let in.

Everything is checked by its digest. A registry that wants a token is asked for it where it says, with the credentials
of the plugin's Secret; they go nowhere else.
"""

import asyncio
from dataclasses import dataclass

from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.adapters.guarded_fetch import Answer, GuardedFetch
from envoy_bootstrap.adapters.image_archive import plugin_in
from envoy_bootstrap.adapters.wasm_modules import MAX_MODULE
from envoy_bootstrap.core.image_manifest import ACCEPT, Descriptor, digest_of, manifest_of_index, module_layers
from envoy_bootstrap.core.image_reference import ImageReference
from envoy_bootstrap.core.registry_access import Credentials, challenge, token_of

_OK, _UNAUTHORISED = 200, 401
_MAX_MANIFEST = 4 << 20
_MAX_TOKEN = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """`digests` are its own and that of the index that led to it, any of which names the image."""

    digests: tuple[str, ...]
    body: bytes


class ImageRegistry:
    """One image's registry, as somebody with these credentials sees it."""

    def __init__(self, fetch: GuardedFetch, image: ImageReference, credentials: Credentials) -> None:
        self._fetch = fetch
        self._image = image
        self._credentials = credentials
        self._authorization = f"Bearer {credentials.token}" if credentials.token else ""

    async def manifest(self) -> Manifest:
        """What the reference stands for now; UNAVAILABLE says why it cannot be had."""
        body = await self._manifest(self._image.version)
        chosen = manifest_of_index(body)
        if chosen is None:
            return Manifest((digest_of(body),), body)
        return Manifest((chosen.digest, digest_of(body)), await self._manifest(chosen.digest))

    async def module(self, manifest: Manifest) -> bytes:
        """The module of an image."""
        for layer in module_layers(manifest.body):
            blob = await self._blob(layer)
            module = await asyncio.to_thread(plugin_in, blob, MAX_MODULE) if layer.is_archive else blob
            if module is not None:
                return module
        raise MeshError(ErrorCode.UNAVAILABLE, "the image is no Wasm image: none of its layers has plugin.wasm")

    async def _manifest(self, version: str) -> bytes:
        body = (await self._get(f"manifests/{version}", _MAX_MANIFEST)).body
        if ":" in version:
            _check(version, body)
        return body

    async def _blob(self, layer: Descriptor) -> bytes:
        if layer.size > MAX_MODULE:
            raise MeshError(ErrorCode.UNAVAILABLE, f"the module is larger than {MAX_MODULE} bytes")
        body = (await self._get(f"blobs/{layer.digest}", layer.size)).body
        _check(layer.digest, body)
        return body

    async def _get(self, path: str, limit: int) -> Answer:
        url = f"{self._image.origin}/v2/{self._image.repository}/{path}"
        answer = await self._asked(url, limit)
        if answer.status == _UNAUTHORISED and await self._let_in(answer):
            answer = await self._asked(url, limit)
        if answer.status != _OK:
            raise MeshError(ErrorCode.UNAVAILABLE, f"the registry answers with status {answer.status}")
        return answer

    async def _asked(self, url: str, limit: int) -> Answer:
        headers = {"accept": ACCEPT}
        if self._authorization:
            headers["authorization"] = self._authorization
        # what says that one is not let in may be longer than a small blob
        return await self._fetch.get(url, max(limit, _MAX_TOKEN), headers)

    async def _let_in(self, refusal: Answer) -> bool:
        """Whether there is something new to show."""
        asked = challenge(refusal.headers.get("www-authenticate", ""), self._image.repository)
        if asked is None:
            return False
        basic = self._credentials.basic
        if not asked.token_url:
            self._authorization, before = basic, self._authorization
            return bool(basic) and basic != before
        if self._image.origin.startswith("https:") and not asked.token_url.startswith("https:"):
            raise MeshError(ErrorCode.UNAVAILABLE, "the registry names a token server without TLS")
        answer = await self._fetch.get(asked.token_url, _MAX_TOKEN, {"authorization": basic} if basic else {})
        if answer.status != _OK:
            raise MeshError(ErrorCode.UNAVAILABLE, f"the registry's token server answers with status {answer.status}")
        self._authorization = f"Bearer {token_of(answer.body)}"
        return True


def _check(digest: str, body: bytes) -> None:
    if digest_of(body) != digest:
        raise MeshError(ErrorCode.UNAVAILABLE, f"the registry gives something else than {digest}")
