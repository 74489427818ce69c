"""A small registry of images for tests: what the OCI distribution specification asks of pulls, and token servers.

Not a registry of anybody's: it has what a client of pulls meets, written from the specification.
"""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WASM_LAYER = "application/vnd.module.wasm.content.layer.v1+wasm"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
TOKEN = "a-token-of-the-registry"


def digest_of(content: bytes) -> str:
    """As registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def archive(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz; names are written as they are, wrong ones too."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(made.getvalue(), mtime=0)


class ImageRegistry:
    """`asked` has the paths, with "+" before those asked with an authorization. `login` is `user:password`."""

    def __init__(self, port: int, login: str = "", moved: bool = False) -> None:
        self.host = f"127.0.0.1:{port}"
        self.asked: list[str] = []
        self.away = False
        self.login = login
        self._moved = moved
        self._blobs: dict[str, bytes] = {}
        self._manifests: dict[str, tuple[str, bytes]] = {}

    def push(self, name: str, layers: list[tuple[str, bytes]], tag: str = "v1") -> str:
        """An image of these layers (media type and content); its digest."""
        described = [self._described(kind, content) for kind, content in layers]
        config = self._described("application/vnd.module.wasm.config.v1+json", b"{}")
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": described}
        return self.put(name, OCI_MANIFEST, manifest, tag)

    def push_index(self, name: str, images: list[tuple[str, Mapping[str, str]]], tag: str = "v1") -> str:
        """An index of images by digest, with their platforms; its digest."""
        listed = [
            {
                "mediaType": OCI_MANIFEST,
                "digest": digest,
                "size": len(self._manifests[f"{name}:{digest}"][1]),
                "platform": platform,
            }
            for digest, platform in images
        ]
        return self.put(name, OCI_INDEX, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}, tag)

    def put(self, name: str, kind: str, document: Mapping[str, Any], tag: str) -> str:
        """A manifest or index as it is; its digest."""
        body = json.dumps(document).encode()
        digest = digest_of(body)
        for version in (tag, digest):
            self._manifests[f"{name}:{version}"] = (kind, body)
        return digest

    def blobs_with(self, content: bytes) -> list[str]:
        """The names of the blobs that are this."""
        return [name for name, blob in self._blobs.items() if blob == content]

    def spoil(self, content: bytes, instead: bytes) -> None:
        """Give something else for a blob."""
        self._blobs[digest_of(content)] = instead

    def answer(self, path: str, authorization: str) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body."""
        self.asked.append(f"{'+' if authorization else ''}{path}")
        if self.away:
            return 503, {}, b"away"
        if path.startswith("/token"):
            basic = f"Basic {base64.b64encode(self.login.encode()).decode()}"
            found = authorization == basic
            return (200, {}, json.dumps({"token": TOKEN}).encode()) if found else (401, {}, b"")
        if path.startswith("/elsewhere/"):  # as the stores that registries lead to, which refuse what is not for them
            blob = self._blobs[path.removeprefix("/elsewhere/")]
            return (400, {}, b"") if authorization else (200, {}, blob)
        if self.login and authorization != f"Bearer {TOKEN}":
            realm = f'Bearer realm="http://{self.host}/token",service="test",scope="repository:x:pull"'
            return 401, {"www-authenticate": realm}, b"{}"
        name, _, rest = path.removeprefix("/v2/").rpartition("/")
        name, _, what = name.rpartition("/")
        if what == "manifests" and (found_manifest := self._manifests.get(f"{name}:{rest}")) is not None:
            return 200, {"content-type": found_manifest[0]}, found_manifest[1]
        if what == "blobs" and rest in self._blobs:
            if self._moved:
                port = self.host.rpartition(":")[2]
                return 307, {"location": f"http://localhost:{port}/elsewhere/{rest}"}, b""
            return 200, {}, self._blobs[rest]
        return 404, {}, b"{}"

    def _described(self, kind: str, content: bytes) -> dict[str, Any]:
        digest = digest_of(content)
        self._blobs[digest] = content
        return {"mediaType": kind, "digest": digest, "size": len(content)}


@contextmanager
def image_registry(login: str = "", moved: bool = False) -> Iterator[ImageRegistry]:
    """One that serves on this machine. `moved`: blobs are at another host's."""
    registry: ImageRegistry

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Whatever is asked."""
            status, headers, body = registry.answer(self.path, self.headers.get("authorization", ""))
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry = ImageRegistry(server.server_port, login, moved)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
