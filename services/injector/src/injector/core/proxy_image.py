"""Which image the sidecar and its init step run. Pure."""

from collections.abc import Mapping

_VARIANTS = ("-distroless", "-debug")


def proxy_image(
    hub: str, tag: str, image: str, *, variant: str = "", annotations: Mapping[str, str] | None = None
) -> str:
    """The image reference; an `image` with a slash is one already.

    `variant` is ProxyConfig's image type, the annotation `sidecar.istio.io/proxyImageType` wins over it; "default" is
    the plain image, whatever the tag ends in.
    """
    given = annotations or {}
    image = given.get("sidecar.istio.io/proxyImage", image)
    variant = given.get("sidecar.istio.io/proxyImageType", variant)
    if "/" in image:
        return image
    if variant:
        for suffix in _VARIANTS:
            tag = tag.removesuffix(suffix)
        if variant != "default":
            tag = f"{tag}-{variant}"
    return f"{hub}/{image}:{tag}"
