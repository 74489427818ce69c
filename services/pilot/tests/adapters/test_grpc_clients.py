"""A stock gRPC client without a proxy: it finds a service by `xds:///`, follows its rules, and follows a change."""

import asyncio
import contextlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from meshcore.distribution.events import Change, ChangeSet
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.model.kinds import by_kind
from meshcore.testing.addresses import claim
from pilot.core.compiler import compile_resources

CALLER = Path(__file__).with_name("xds_caller.py")
PORT = 9080
NODE = {
    "id": "sidecar~127.0.0.1~client.shop~shop.svc.cluster.local",
    "metadata": {"GENERATOR": "grpc", "NAMESPACE": "shop"},
}


def istio(kind, name, spec):
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def routed(*rules):
    return istio("VirtualService", "reviews", {"hosts": ["reviews"], "http": list(rules)})


def to(subset):
    return {"route": [{"destination": {"host": "reviews", "subset": subset}}]}


def server(address, version):
    answer = grpc.unary_unary_rpc_method_handler(lambda *_: version.encode())
    made = grpc.server(ThreadPoolExecutor(2))
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Reviews", {"Get": answer}),))
    made.add_insecure_port(f"{address}:{PORT}")
    made.start()
    return made


def feed(mesh, *documents):
    previous, mesh.revision = mesh.revision, mesh.revision + 1
    now = datetime.now(UTC)
    changes = []
    for document in documents:
        info = by_kind(document["apiVersion"], document["kind"])
        key = Key(info.group, info.plural, "shop", document["metadata"]["name"])
        changes.append(Change(key, make_record(kv_key(*key), "s", mesh.revision, document, "", now), None))
    mesh.hub.take_changes(ChangeSet("s", mesh.revision, previous, "", now, tuple(changes)))


class Caller:
    def __init__(self, process):
        self._process = process

    async def call(self, user=""):
        self._process.stdin.write(f"{user}\n".encode())
        return (await self._process.stdout.readline()).decode().strip()

    async def until(self, wanted, user=""):
        async with asyncio.timeout(20):
            while (got := await self.call(user)) != wanted:
                assert got in ("v1", "v2"), got


@pytest.mark.parametrize("target", ["reviews.shop.svc.cluster.local:9080", "reviews:9080"])
async def test_a_stock_client_follows_subsets_headers_and_changes(serve_mesh, tmp_path, target):
    with claim() as block:
        async with serve_mesh(compile_class=compile_resources) as mesh, contextlib.AsyncExitStack() as servers:
            for number in (1, 2):
                servers.callback(server(block.address(number), f"v{number}").stop, None)
            ports = [{"name": "grpc", "port": PORT}]
            feed(
                mesh,
                mesh.service("reviews", ports=ports),
                *(
                    istio(
                        "WorkloadEntry",
                        f"v{n}",
                        {"address": block.address(n), "labels": {"app": "reviews", "v": f"v{n}"}},
                    )
                    for n in (1, 2)
                ),
                istio(
                    "DestinationRule",
                    "reviews",
                    {"host": "reviews", "subsets": [{"name": f"v{n}", "labels": {"v": f"v{n}"}} for n in (1, 2)]},
                ),
                routed({"match": [{"headers": {"x-user": {"exact": "tester"}}}], **to("v2")}, to("v1")),
            )
            bootstrap = tmp_path / "bootstrap.json"
            creds = [{"type": "insecure"}]
            source = {"server_uri": mesh.plaintext, "channel_creds": creds, "server_features": ["xds_v3"]}
            bootstrap.write_text(json.dumps({"xds_servers": [source], "node": NODE}))
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(CALLER),
                f"xds:///{target}",
                env=os.environ | {"GRPC_XDS_BOOTSTRAP": str(bootstrap)},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                caller = Caller(process)
                assert await caller.call() == "v1"
                assert await caller.call("tester") == "v2"
                feed(mesh, routed(to("v2")))
                await caller.until("v2")
            finally:
                process.kill()
                await process.wait()
