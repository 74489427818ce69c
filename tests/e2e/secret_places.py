"""What is secret in a mesh, and all that it shows: looked through behind every mesh that a test has started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from citadel.adapters.database import open_database
from citadel.adapters.root_store import RootStore
from citadel.core.sealing import parse_keks
from cryptography.hazmat.primitives import serialization
from envoy_bootstrap.adapters.stored_state import StoredState
from meshcore.errors import MeshError
from meshcore.identity import SpiffeId
from meshctl.adapters.processes import records
from secret_search import SecretSearch

if TYPE_CHECKING:
    from mesh import Mesh

SERVICES = ("galley", "pilot", "citadel", "injector")
NAMESPACE, NAME = "edge", "looked-for"
ENVOY_PAGES = ("/config_dump?include_eds", "/certs", "/clusters", "/listeners", "/server_info", "/stats", "/runtime")
AGENT_PAGES = ("/stats/prometheus", "/healthz/ready", "/audit", "/wasm?url=http://{word}@x.test/&sha256=00")
WITHOUT_AN_END = "/api/v1/changes/events"
PLAIN_FILES = ("token", "password", "kek", ".key")


def leaks(mesh: Mesh) -> list[str]:
    """Secrets of the mesh that it shows; what has been killed or never started shows what it has left behind."""
    if not Path(mesh.layout.identities).is_dir():
        return []
    search = SecretSearch()
    known(mesh, search)
    return search.found_in([*seen_files(mesh), *command_lines(mesh), *pages(mesh), *proxies(mesh, "word")])


def known(mesh: Mesh, search: SecretSearch) -> None:
    """Keys, tokens and passwords that lie in files of the stack, sealed or not."""
    identities = Path(mesh.layout.identities)
    for path in sorted(path for path in identities.rglob("*") if path.is_file()):
        name, content = str(path.relative_to(identities)), path.read_bytes()
        if b"PRIVATE KEY-----" in content:
            search.add_private_key(name, content[content.index(b"-----BEGIN") :])
        elif path.name == "nats-user.json":
            search.add(name, json.loads(content)["password"].encode())
        elif path.name.endswith(PLAIN_FILES):
            search.add(name, content)
    if (identities / "citadel" / "citadel.db").exists():
        for key in asyncio.run(roots(identities / "citadel")):
            search.add_private_key("the root", key)
    for item in mesh.status()["workloads"]:
        if not item.get("envoy_admin"):
            continue
        state = Path(item["envoy_admin"]).parent
        key_file = mesh.layout.state_key(item["namespace"], item["name"])
        expected = SpiffeId("cluster.local", item["namespace"], item["service_account"])
        stored = StoredState.open(state, key_file).load_identity(expected)
        if stored is not None:
            search.add_private_key(f"agent {item['name']}", stored[0].key.pem)
        with contextlib.suppress(FileNotFoundError):
            search.add(f"token {item['name']}", (state / "token").read_bytes())


async def roots(directory: Path) -> list[bytes]:
    engine = await open_database(f"sqlite+aiosqlite:///{directory / 'citadel.db'}")
    try:
        stored = await RootStore(engine, lambda: parse_keks((directory / "kek").read_text())).load()
    finally:
        await engine.dispose()
    if stored is None:
        return []
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return [one.key.private_bytes(*kinds) for one in (stored.root, stored.successor) if one is not None]


def seen_files(mesh: Mesh) -> list[tuple[str, bytes]]:
    """Logs, what NATS has stored, and what Pilot keeps for its next start."""
    found = [(f"log {name}", text.encode()) for name, text in mesh.logs()]
    root = Path(mesh.layout.root)
    found += [(f"stored message {path.name}", path.read_bytes()) for path in sorted(root.rglob("*.blk"))]
    kept = [path for path in sorted(Path(mesh.layout.state("pilot")).rglob("*")) if path.is_file()]
    return found + [(f"pilot's {path.name}", path.read_bytes()) for path in kept]


def pages(mesh: Mesh) -> Iterator[tuple[str, bytes]]:
    """Every page that a service documents, as its administrator sees it, and its errors; none of one that is away."""
    token = Path(mesh.layout.admin_token).read_text().strip()
    services = {item["name"]: item["admin"] for item in mesh.status()["services"] if "admin" in item}
    for name in SERVICES:
        with (
            contextlib.suppress(httpx.TransportError),
            httpx.Client(
                base_url=services.get(name, "http://127.0.0.1:1"),
                headers={"authorization": f"Bearer {token}"},
                timeout=60,
                trust_env=False,
            ) as client,
        ):
            document = client.get("/openapi.json").raise_for_status()
            yield f"{name} /openapi.json", document.content
            for path in sorted(path for path, methods in document.json()["paths"].items() if "get" in methods):
                if path != WITHOUT_AN_END:
                    yield f"{name} {path}", client.get(_filled(path)).content
    for item in mesh.status()["workloads"]:
        proxy = f"{item['name']}.{item['namespace']}"
        with contextlib.suppress(MeshError):  # one that has left, or that connects anew; a Pilot that is away
            yield f"pilot /debug/config_dump of {proxy}", json.dumps(mesh.pilot().config_dump(proxy)).encode()


def _filled(path: str) -> str:
    """The page of the Secret where a page is an object's; else a page of something that is not there."""
    filled = path.replace("{group}", "core").replace("{plural}", "secrets")
    filled = filled.replace("{namespace}", NAMESPACE).replace("{name}", NAME)
    return re.sub(r"\{\w+\}", "0", filled)


def proxies(mesh: Mesh, word: str) -> Iterator[tuple[str, bytes]]:
    """Every page of every Envoy's administration, and of its agent; none of those that are away."""
    for item in mesh.status()["workloads"]:
        name = item["name"]
        if not item.get("envoy_admin") or not _answers(item["envoy_admin"]):
            continue
        with contextlib.suppress(httpx.TransportError):
            for page in ENVOY_PAGES:
                yield f"envoy {name} {page}", envoy_page(mesh, name, page).encode()
        with contextlib.suppress(httpx.TransportError):
            for page in AGENT_PAGES:
                answer = httpx.get(
                    f"http://{item['address']}:15020{page.format(word=word)}", trust_env=False, timeout=60
                )
                yield f"agent {name} {page}", answer.content


def _answers(path: str) -> bool:
    """Whether anybody listens on the socket: one that was killed leaves its file behind."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def envoy_page(mesh: Mesh, name: str, page: str) -> str:
    socket = mesh.workload(name)["envoy_admin"]
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket), base_url="http://envoy") as client:
        return client.get(page, timeout=60).text


def command_lines(mesh: Mesh) -> Iterator[tuple[str, bytes]]:
    """What everybody on the machine can read of the processes."""
    for record in records(mesh.layout):
        with contextlib.suppress(FileNotFoundError):
            yield f"command line of {record.name}", Path(f"/proc/{record.pid}/cmdline").read_bytes()
