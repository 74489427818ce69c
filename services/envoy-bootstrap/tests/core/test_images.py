"""What images are called, what is in them, and how registries let somebody in: odd forms of it."""

import json

import pytest
from envoy_bootstrap.core.image_manifest import manifest_of_index, module_layers
from envoy_bootstrap.core.image_reference import ImageReference, parse_image
from envoy_bootstrap.core.pulled_extension import PulledExtension, extensions_in_use
from envoy_bootstrap.core.registry_access import Challenge, challenge, credentials_for, token_of
from meshcore.errors import MeshError

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("url", "image", "origin"),
    [
        ("oci://ghcr.io/shop/filter:v1", ImageReference("ghcr.io", "shop/filter", "v1"), "https://ghcr.io"),
        ("filter", ImageReference("docker.io", "library/filter"), "https://registry-1.docker.io"),
        ("shop/filter", ImageReference("docker.io", "shop/filter"), "https://registry-1.docker.io"),
        ("oci://docker.io/a", ImageReference("docker.io", "library/a"), "https://registry-1.docker.io"),
        ("127.0.0.1:5000/a", ImageReference("127.0.0.1:5000", "a"), "http://127.0.0.1:5000"),
        ("oci://[::1]:5000/a:b", ImageReference("[::1]:5000", "a", "b"), "http://[::1]:5000"),
        ("localhost/a", ImageReference("localhost", "a"), "http://localhost"),
        (f"r.example/a:v@{DIGEST}", ImageReference("r.example", "a", "v", DIGEST), "https://r.example"),
    ],
)
def test_references_are_read_as_container_tools_read_them(url: str, image: ImageReference, origin: str) -> None:
    assert parse_image(url) == image
    assert image.origin == origin
    assert image.is_moving == (image.version == "latest")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "oci://",
        "oci://r.example/",
        "r.example/A",
        "r.example/a/../b",
        "r.example/a?x=1",
        "r.example/a:",
        "r.example/a:t/b",
        "r.example/a@",
        "r.example/a@sha256:0",
        "user:word@r.example/a",
        "ftp://r.example/a",
        "r.example/" + "a" * 600,
    ],
)
def test_what_names_no_image_is_refused(url: str) -> None:
    with pytest.raises(MeshError, match="names no image"):
        parse_image(url)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}x", b"\xff", b"[" * 100_000])
def test_a_manifest_that_is_none_is_said_to_be_none(body: bytes) -> None:
    for read in (manifest_of_index, module_layers):
        with pytest.raises(MeshError, match="no JSON object"):
            read(body)


@pytest.mark.parametrize("document", [{}, {"layers": 1}, {"layers": ["x", {"mediaType": "application/wasm"}]}])
def test_a_manifest_without_a_usable_layer_is_refused(document: object) -> None:
    with pytest.raises(MeshError, match="no Wasm image"):
        module_layers(json.dumps(document).encode())


def test_challenges_are_read() -> None:
    bearer = 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull"'
    expected = "https://auth.example/token?scope=repository%3Aa%2Fb%3Apull&service=registry.example"
    assert challenge(bearer, "a/b") == Challenge(expected)
    short = challenge('bearer realm="http://auth.example/t?x=1"', "a/b")
    assert short == Challenge("http://auth.example/t?x=1&scope=repository%3Aa%2Fb%3Apull")
    assert challenge('Basic realm="r"', "a/b") == Challenge("")
    for header in ("", "Bearer", 'Bearer realm="file:///etc/passwd"', 'Digest realm="x"'):
        assert challenge(header, "a/b") is None


def test_credentials_are_those_of_the_registry() -> None:
    entries = {
        "https://index.docker.io/v1/": {"auth": "aHViOndvcmQ="},
        "r.example": {"username": "u", "password": "p"},
        "t.example:5000": {"registrytoken": "t"},
    }
    document = json.dumps({"auths": entries}).encode()
    assert credentials_for("docker.io", document).basic == "Basic aHViOndvcmQ="
    assert credentials_for("r.example", document).basic == "Basic dTpw"
    assert credentials_for("t.example:5000", document).token == "t"
    assert credentials_for("t.example", document).basic == ""
    assert "word" not in repr(credentials_for("docker.io", document))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\r\\nx: y"}'])
def test_an_answer_without_a_token_is_none(body: bytes) -> None:
    with pytest.raises(MeshError, match="no token"):
        token_of(body)


def test_what_describes_no_extension_is_refused() -> None:
    for body in (b"", b"\xff\xff"):
        with pytest.raises(MeshError, match="no description"):
            PulledExtension.read(body)


def test_the_extensions_that_listeners_have_from_the_agent_are_in_use() -> None:
    def asked(cluster: str) -> dict[str, object]:
        api = {"grpc_services": [{"envoy_grpc": {"cluster_name": cluster}}]}
        return {"config_source": {"api_config_source": api}, "type_urls": []}

    filters = [
        {"name": "mine", "config_discovery": asked("agent-extensions")},
        {"name": "others", "config_discovery": asked("xds-grpc")},
        {"name": "ads", "config_discovery": {"config_source": {"ads": {}}}},
        {"name": "odd", "typed_config": {"config_discovery": "text", "deep": [{"config_discovery": [1]}]}},
    ]
    entry = {"active_state": {"listener": {"name": "in", "filter_chains": [{"filters": filters}]}}}
    kind = "type.googleapis.com/envoy.admin.v3.ListenersConfigDump"
    dump = {"configs": [{"@type": kind, "dynamic_listeners": [entry]}]}
    assert extensions_in_use(json.dumps(dump)) == {"mine"}
    assert extensions_in_use("{}") == frozenset()
