"""What of an image is the Wasm module: manifests, indexes of them, and layers (OCI image specification 1.1; the Wasm
image specification's OCI and compat variants). Pure."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshcore.errors import ErrorCode, MeshError

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = ", ".join((*_MANIFESTS, *_INDEXES))
_MODULES = (
    "application/vnd.module.wasm.content.layer.v1+wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/wasm",
)
_ARCHIVES = (
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PLATFORMS = (("wasm", ""), ("amd64", "linux"))
"""Architecture and system (empty: any) of what is taken of an index, the best first; else the first that says none."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob or manifest by its digest; `is_archive`: the module is a file in it. `size` in bytes."""

    digest: str
    size: int
    is_archive: bool = False


def digest_of(content: bytes) -> str:
    """As registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest_of_index(body: bytes) -> Descriptor | None:
    """The manifest that an index leads to; None for what is no index. UNAVAILABLE when none of its images will do."""
    document = _document(body)
    if document.get("mediaType") not in _INDEXES and not (
        document.get("mediaType") is None and isinstance(document.get("manifests"), list)
    ):
        return None
    listed = [one for one in _list(document, "manifests") if isinstance(one, Mapping)]
    for architecture, system in _PLATFORMS:
        for one in listed:
            platform = one.get("platform")
            if not isinstance(platform, Mapping) or platform.get("architecture") != architecture:
                continue
            if not system or platform.get("os") == system:
                return _descriptor(one)
    for one in listed:
        if not one.get("platform"):
            return _descriptor(one)
    raise _unusable("its index has no image for wasm or linux/amd64")


def module_layers(body: bytes) -> tuple[Descriptor, ...]:
    """Where the module may be, the likeliest first; UNAVAILABLE when it cannot be anywhere."""
    layers = [one for one in _list(_document(body), "layers") if isinstance(one, Mapping)]
    for one in layers:
        if one.get("mediaType") in _MODULES:
            return (_descriptor(one),)
    archives = tuple(_descriptor(one, is_archive=True) for one in reversed(layers) if one.get("mediaType") in _ARCHIVES)
    if not archives:
        raise _unusable("it has no layer of a known type")
    return archives


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _unusable("its manifest is no JSON object")
    return found


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    found = document.get(name)
    return found if isinstance(found, list) else []


def _descriptor(one: Mapping[str, Any], *, is_archive: bool = False) -> Descriptor:
    digest, size = one.get("digest"), one.get("size")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not isinstance(size, int) or size < 0:
        raise _unusable("its manifest has a descriptor without a SHA-256 digest and a size")
    return Descriptor(digest, size, is_archive)


def _unusable(why: str) -> MeshError:
    return MeshError(ErrorCode.UNAVAILABLE, f"the image is no Wasm image: {why}")
