"""Stock gRPC clients and servers without a proxy: they find services by `xds:///`, follow rules and changes, and speak
mTLS as policies say."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_without_proxy import PORT, bootstrap, calling, feed, istio, serving_at
from meshcore.testing.addresses import claim
from meshcore.tls.identity import save_identity
from pilot.core.compiler import compile_resources


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
            file = bootstrap(tmp_path / "client", mesh, "client")
            async with calling(file, target) as caller:
                assert await caller.call() == "v1"
                assert await caller.call("tester") == "v2"
                feed(mesh, routed(to("v2")))
                await caller.until("v2", among=("v1", "v2"))


APP = {"app": "reviews"}


def peers(mode):
    return istio("PeerAuthentication", "all", {"mtls": {"mode": mode}}, "security")


def entry(address, account="reviews"):
    return istio("WorkloadEntry", "v1", {"address": address, "labels": {"app": "reviews"}, "serviceAccount": account})


def spiffe(account):
    return f"spiffe://cluster.local/ns/shop/sa/{account}"


async def test_a_stock_server_and_client_speak_mtls_where_policies_say_so(serve_mesh, ca, tmp_path):
    with claim() as block:
        address = block.address(1)
        async with serve_mesh(compile_class=compile_resources) as mesh, contextlib.AsyncExitStack() as stack:
            service = mesh.service("reviews", ports=[{"name": "grpc", "port": PORT}])
            feed(mesh, service, entry(address), peers("STRICT"))
            own = bootstrap(tmp_path / "reviews", mesh, "reviews", address, ca.issue(spiffe("reviews")), LABELS=APP)
            await stack.enter_async_context(serving_at(own, f"{address}:{PORT}"))
            file = bootstrap(tmp_path / "client", mesh, "client", identity=ca.issue(spiffe("client")))
            name = f"reviews.shop.svc.cluster.local:{PORT}"
            caller = await stack.enter_async_context(calling(file, name, "mtls"))
            assert await caller.call() == spiffe("client"), "each side has seen the other's certificate"
            bare = await stack.enter_async_context(calling(file, name))
            assert (await bare.call()).startswith("UNAVAILABLE"), "plaintext is not taken"
            save_identity(tmp_path / "client", ca.issue(spiffe("renewed")))
            feed(mesh, entry(address, "somebody-else"))
            await caller.until("UNAVAILABLE")
            feed(mesh, entry(address))
            await caller.until("spiffe://")
            feed(mesh, peers("DISABLE"))
            await bare.until("nobody")
            await caller.until("nobody")
            mutual = {"host": "reviews", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}
            feed(mesh, peers("STRICT"), istio("DestinationRule", "reviews", mutual))
            await caller.until(spiffe("renewed"))
