"""Wasm modules out of images: a small server speaks the distribution protocol (meshcore.testing.image_registry)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from envoy_bootstrap.adapters.guarded_fetch import GuardedFetch
from envoy_bootstrap.adapters.pulled_modules import PulledModules
from envoy_bootstrap.adapters.wasm_modules import WasmModules
from envoy_bootstrap.core.pulled_extension import Wanted
from meshcore.errors import MeshError
from meshcore.fetch_guard import parse_networks
from meshcore.testing.image_registry import (
    DOCKER_LAYER,
    OCI_LAYER,
    OCI_MANIFEST,
    TOKEN,
    WASM_LAYER,
    ImageRegistry,
    archive,
    image_registry,
)

MODULE, OTHER = b"\0asm\1\0\0\0", b"\0asm\1\0\0\0other"
LOGIN = "robot:s3cret-word"


@pytest.fixture
def registry() -> Iterator[ImageRegistry]:
    with image_registry() as running:
        yield running


def modules(directory: Path, blocked: str = "") -> PulledModules:
    fetch = GuardedFetch(parse_networks(blocked))
    return PulledModules(directory / "pulled", WasmModules(directory / "wasm", fetch), fetch)


async def pulled(directory: Path, url: str, credentials: bytes = b"", **more: str) -> bytes:
    return (await modules(directory).get(Wanted(url, **more), credentials)).read_bytes()


@pytest.mark.parametrize(
    "layers",
    [
        [(WASM_LAYER, MODULE)],
        [(OCI_LAYER, archive({"plugin.wasm": MODULE}))],
        [(DOCKER_LAYER, archive({"etc/x": b"y"})), (DOCKER_LAYER, archive({"./plugin.wasm": MODULE}))],
        [(DOCKER_LAYER, archive({"plugin.wasm": MODULE})), (DOCKER_LAYER, archive({"later": b"y"}))],
    ],
    ids=["artifact", "compat", "docker, last layer", "docker, first layer"],
)
async def test_the_module_is_found_in_every_kind_of_image(
    registry: ImageRegistry, tmp_path: Path, layers: list[tuple[str, bytes]]
) -> None:
    digest = registry.push("shop/filter", layers)
    assert await pulled(tmp_path / "a", f"oci://{registry.host}/shop/filter:v1") == MODULE
    assert await pulled(tmp_path / "b", f"{registry.host}/shop/filter@{digest}") == MODULE, "a bare name is an image's"


async def test_an_index_leads_to_the_image_for_wasm(registry: ImageRegistry, tmp_path: Path) -> None:
    arm = registry.push("x", [(WASM_LAYER, OTHER)])
    wasm = registry.push("x", [(WASM_LAYER, MODULE)])
    index = registry.push_index(
        "x", [(arm, {"architecture": "arm64", "os": "linux"}), (wasm, {"architecture": "wasm", "os": "wasip1"})]
    )
    for number, digest in enumerate((index, wasm)):
        sha256 = digest.removeprefix("sha256:")
        assert await pulled(tmp_path / str(number), f"oci://{registry.host}/x:v1", sha256=sha256) == MODULE
    only = registry.push_index("y", [])
    with pytest.raises(MeshError, match="no image for wasm"):
        await pulled(tmp_path, f"oci://{registry.host}/y@{only}")


async def test_a_token_is_had_with_the_secrets_credentials_and_they_go_nowhere_else(tmp_path: Path) -> None:
    with image_registry(LOGIN, moved=True) as registry:
        registry.push("private/filter", [(WASM_LAYER, MODULE)])
        url = f"oci://{registry.host}/private/filter:v1"
        auth = base64.b64encode(LOGIN.encode()).decode()
        right = json.dumps({"auths": {f"https://{registry.host}/v1/": {"auth": auth}}}).encode()
        assert await pulled(tmp_path / "right", url, right, secret="pull://shop/registry") == MODULE
        led_on = [path for path in registry.asked if "/elsewhere/" in path]
        assert led_on, "to another host's blobs"
        assert not [path for path in led_on if path.startswith("+")]
        user, password = LOGIN.split(":")
        wrong = json.dumps({"auths": {registry.host: {"username": user, "password": password + "x"}}}).encode()
        other = json.dumps({"auths": {"registry.example": {"auth": auth}}}).encode()
        for number, document in enumerate((wrong, other, b"", b"{}", b"\xff", b'{"auths": {"%s": {"auth": "\xc3"}}}')):
            with pytest.raises(MeshError) as refused:
                await pulled(tmp_path / str(number), url, document)
            assert not [word for word in (password, TOKEN, auth) if word in str(refused.value)]


async def test_what_was_pulled_is_used_again_by_the_pull_policy(registry: ImageRegistry, tmp_path: Path) -> None:
    registry.push("x", [(WASM_LAYER, MODULE)])
    registry.push("x", [(WASM_LAYER, MODULE)], tag="latest")
    tagged, newest = f"oci://{registry.host}/x:v1", f"oci://{registry.host}/x"
    assert [await pulled(tmp_path, tagged), await pulled(tmp_path, newest)] == [MODULE, MODULE]
    for tag in ("v1", "latest"):
        registry.push("x", [(WASM_LAYER, OTHER)], tag=tag)
    registry.asked.clear()
    assert await pulled(tmp_path, tagged) == MODULE
    assert await pulled(tmp_path, newest, policy="IfNotPresent") == MODULE
    assert registry.asked == []
    assert await pulled(tmp_path, tagged, policy="Always") == OTHER
    assert await pulled(tmp_path, newest) == OTHER, "whatever is newest is looked up each time"
    registry.asked.clear()
    assert await pulled(tmp_path, newest) == OTHER
    assert registry.asked == ["/v2/x/manifests/latest"], "an image that is the same is not fetched again"
    registry.away = True
    assert await pulled(tmp_path, tagged) == OTHER
    with pytest.raises(MeshError, match="status 503"):
        await pulled(tmp_path, tagged, policy="Always")
    (kept,) = [file for file in (tmp_path / "wasm").iterdir() if file.read_bytes() == OTHER]
    kept.write_bytes(b"\0asm and something else")
    registry.away = False
    assert await pulled(tmp_path, tagged) == OTHER, "a file that was changed is not used"


async def test_several_plugins_of_one_image_pull_it_once(registry: ImageRegistry, tmp_path: Path) -> None:
    for name in ("x", "y"):
        registry.push(name, [(WASM_LAYER, MODULE)])
    wanted = [Wanted(f"oci://{registry.host}/{name}:v1") for name in ("x", "x", "y", "x")]
    shared = modules(tmp_path)
    files = await asyncio.gather(*(shared.get(one, b"") for one in wanted))
    assert {file.read_bytes() for file in files} == {MODULE}
    assert len(set(files)) == 1, "a module is kept once"
    assert sorted(path.rpartition("/")[0] for path in registry.asked) == [
        f"/v2/{name}/{kind}" for name in ("x", "y") for kind in ("blobs", "manifests")
    ]


async def test_a_module_on_the_web_needs_no_checksum(registry: ImageRegistry, tmp_path: Path) -> None:
    registry.push("x", [(WASM_LAYER, MODULE)])
    (blob,) = [f"http://{registry.host}/v2/x/blobs/{name}" for name in registry.blobs_with(MODULE)]
    assert await pulled(tmp_path, blob) == MODULE
    with pytest.raises(MeshError, match="no Wasm module"):
        await pulled(tmp_path, f"http://{registry.host}/v2/x/manifests/v1")


async def test_nothing_else_than_was_named_is_given_out(registry: ImageRegistry, tmp_path: Path) -> None:
    registry.push("x", [(WASM_LAYER, MODULE)])
    registry.spoil(MODULE, OTHER)
    registry.push("text", [(WASM_LAYER, b"no module")])
    registry.push("outside", [(OCI_LAYER, archive({"../plugin.wasm": MODULE, "/plugin.wasm": MODULE}))])
    registry.push("broken", [(OCI_LAYER, archive({"plugin.wasm": MODULE})[:-20])])
    registry.push("odd", [("text/plain", b"x")])
    large = {"mediaType": WASM_LAYER, "digest": f"sha256:{'1' * 64}", "size": 1 << 40}
    registry.put("large", OCI_MANIFEST, {"layers": [large]}, "v1")
    registry.put(
        "wrong", OCI_MANIFEST, {"layers": [{"mediaType": WASM_LAYER, "digest": "sha256:../x", "size": 1}]}, "v1"
    )
    words = {
        f"{registry.host}/x:v1": "something else than sha256:",
        f"{registry.host}/text:v1": "no Wasm module",
        f"{registry.host}/outside:v1": "none of its layers has plugin.wasm",
        f"{registry.host}/broken:v1": "no archive",
        f"{registry.host}/odd:v1": "no layer of a known type",
        f"{registry.host}/large:v1": "larger than",
        f"{registry.host}/wrong:v1": "without a SHA-256 digest",
        f"{registry.host}/nobody:v1": "status 404",
        f"{registry.host}/../x:v1": "names no image",
        "oci://169.254.169.254/x:v1": "out of bounds",
    }
    for url, expected in words.items():
        with pytest.raises(MeshError, match=expected):
            await pulled(tmp_path, url)
    with pytest.raises(MeshError, match="has the digest"):
        await pulled(tmp_path, f"oci://{registry.host}/text:v1", sha256="0" * 64)
    with pytest.raises(MeshError, match="out of bounds"):
        await modules(tmp_path, "127.0.0.0/8").get(Wanted(f"oci://{registry.host}/x:v1"), b"")
    assert list(tmp_path.iterdir()) == []
