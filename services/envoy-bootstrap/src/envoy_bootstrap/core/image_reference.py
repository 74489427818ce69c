"""Where an image is: the reference after `oci://`, or a bare one, read as container tools read it. Pure.

parse_image("oci://ghcr.io/shop/filter:v1") == ImageReference("ghcr.io", "shop/filter", tag="v1")
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from meshcore.errors import ErrorCode, MeshError

_SCHEME = "oci://"
_DOCKER_HUB = ("docker.io", "index.docker.io")
_DOCKER_HUB_HOST = "registry-1.docker.io"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?")
_LONGEST = 512
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class ImageReference:
    """`registry` is `host[:port]`; `digest` (`sha256:...`) names one image, and counts if both are given."""

    registry: str
    repository: str
    tag: str = LATEST
    digest: str = ""

    @property
    def version(self) -> str:
        """What a manifest is asked for by."""
        return self.digest or self.tag

    @property
    def is_moving(self) -> bool:
        """Whether it is the name of whatever is newest, which is looked up each time if nobody says otherwise."""
        return not self.digest and self.tag == LATEST

    @property
    def origin(self) -> str:
        """Where the registry is asked: by TLS, but on this machine, as container tools do."""
        host = self.registry if self.registry not in _DOCKER_HUB else _DOCKER_HUB_HOST
        return f"{'http' if _is_local(host) else 'https'}://{host}"


def parse_image(url: str) -> ImageReference:
    """INVALID for what names no image."""
    text, _, digest = url.removeprefix(_SCHEME).partition("@")
    first, slash, rest = text.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, rest
    else:
        registry, path = _DOCKER_HUB[0], text
    repository, colon, tag = path.partition(":")
    if registry in _DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    well_formed = (
        len(url) <= _LONGEST
        and _REGISTRY.fullmatch(registry)
        and _REPOSITORY.fullmatch(repository)
        and (not colon or _TAG.fullmatch(tag))
        and ("@" not in url or _DIGEST.fullmatch(digest))
    )
    if not well_formed:
        raise MeshError(
            ErrorCode.INVALID, "the URL names no image: oci://registry/repository, with :tag or @sha256:..."
        )
    return ImageReference(registry, repository, tag or LATEST, digest)


def _is_local(registry: str) -> bool:
    host = registry.rpartition(":")[0] if re.search(r":[0-9]+$", registry) else registry
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
