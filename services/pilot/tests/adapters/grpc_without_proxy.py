"""gRPC workloads without a proxy: their bootstraps, and stock clients and servers in processes of their own."""

import asyncio
import contextlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from meshcore.distribution.events import Change, ChangeSet
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.model.kinds import by_kind
from meshcore.tls.identity import CHAIN_FILE, KEY_FILE, ROOT_FILE, save_identity
from meshcore.xds.names import CERTIFICATE_PROVIDER, GRPC_INBOUND_TEMPLATE

HERE = Path(__file__).parent
PORT = 9080


def istio(kind, name, spec, group="networking"):
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def feed(mesh, *documents):
    previous, mesh.revision = mesh.revision, mesh.revision + 1
    now = datetime.now(UTC)
    changes = []
    for document in documents:
        info = by_kind(document["apiVersion"], document["kind"])
        key = Key(info.group, info.plural, "shop", document["metadata"]["name"])
        changes.append(Change(key, make_record(kv_key(*key), "s", mesh.revision, document, "", now), None))
    mesh.hub.take_changes(ChangeSet("s", mesh.revision, previous, "", now, tuple(changes)))


def bootstrap(directory, mesh, name, address="127.0.0.1", identity=None, **metadata):
    """The file of a workload's gRPC library."""
    directory.mkdir(exist_ok=True)
    source = {
        "server_uri": mesh.plaintext,
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    }
    node = {
        "id": f"sidecar~{address}~{name}.shop~shop.svc.cluster.local",
        "metadata": {"GENERATOR": "grpc", "NAMESPACE": "shop", **metadata},
    }
    document = {"xds_servers": [source], "node": node, "server_listener_resource_name_template": GRPC_INBOUND_TEMPLATE}
    if identity is not None:
        save_identity(directory, identity)
        files = {
            "certificate_file": str(directory / CHAIN_FILE),
            "private_key_file": str(directory / KEY_FILE),
            "ca_certificate_file": str(directory / ROOT_FILE),
            "refresh_interval": "1s",
        }
        document["certificate_providers"] = {CERTIFICATE_PROVIDER: {"plugin_name": "file_watcher", "config": files}}
    file = directory / "grpc-bootstrap.json"
    file.write_text(json.dumps(document))
    return file


class Caller:
    def __init__(self, process):
        self._process = process

    async def call(self, user=""):
        self._process.stdin.write(f"{user}\n".encode())
        return (await self._process.stdout.readline()).decode().strip()

    async def until(self, beginning, among=None, user=""):
        """Until an answer begins so; each before is one of some, where they are given."""
        got = None
        try:
            async with asyncio.timeout(60):
                while not (got := await self.call(user)).startswith(beginning):
                    assert among is None or got in among, got
        except TimeoutError:
            raise AssertionError(f"waited for {beginning!r}, got {got!r}") from None


@contextlib.asynccontextmanager
async def _running(script, file, *arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / script),
        *arguments,
        env=os.environ | {"GRPC_XDS_BOOTSTRAP": str(file)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def calling(file, target, *words):
    """A client of that bootstrap."""
    async with _running("xds_caller.py", file, f"xds:///{target}", *words) as process:
        yield Caller(process)


@contextlib.asynccontextmanager
async def serving_at(file, address):
    """A server of that bootstrap."""
    async with _running("xds_server.py", file, address) as process:
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"started\n"
            # It listens when xDS has told it how to serve, which is after its start.
            while not await _listens(*address.split(":")):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        yield


async def _listens(host, port):
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionRefusedError:
        return False
    writer.close()
    return True
