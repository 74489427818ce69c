import pytest
from injector.core.proxy_image import proxy_image


@pytest.mark.parametrize(
    ("tag", "variant", "annotations", "expected"),
    [
        ("1.2", "", {}, "hub/proxy:1.2"),
        ("1.2", "debug", {}, "hub/proxy:1.2-debug"),
        ("1.2-distroless", "default", {}, "hub/proxy:1.2"),
        ("1.2-distroless", "distroless", {}, "hub/proxy:1.2-distroless"),
        ("1.2", "distroless", {"sidecar.istio.io/proxyImageType": "debug"}, "hub/proxy:1.2-debug"),
        ("1.2-special", "", {}, "hub/proxy:1.2-special"),
        ("1.2", "debug", {"sidecar.istio.io/proxyImage": "mine/other:3"}, "mine/other:3"),
        ("1.2", "", {"sidecar.istio.io/proxyImage": "other"}, "hub/other:1.2"),
    ],
)
def test_the_image_is_hub_name_tag_and_variant(tag, variant, annotations, expected):
    assert proxy_image("hub", tag, "proxy", variant=variant, annotations=annotations) == expected
