"""Stock gRPC clients and servers without a proxy: they find services by `xds:///`, follow rules and changes, speak
mTLS as policies say, and take whom policies allow."""

import asyncio
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
            async with asyncio.timeout(60):
                answer = None
                while answer != spiffe("renewed"):
                    # A connection keeps the certificate that it began with, and gRPC looks at the files once a second:
                    # only a new connection tells, so each round ends the one before.
                    assert answer in (None, spiffe("client"))
                    feed(mesh, entry(address, "somebody-else"))
                    await caller.until("UNAVAILABLE")
                    feed(mesh, entry(address))
                    await caller.until("spiffe://")
                    answer = await caller.call()
            feed(mesh, peers("DISABLE"))
            await bare.until("nobody")
            await caller.until("nobody")
            mutual = {"host": "reviews", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}
            feed(mesh, peers("STRICT"), istio("DestinationRule", "reviews", mutual))
            await caller.until(spiffe("renewed"))


def authorization(name, action, *rules):
    return istio("AuthorizationPolicy", name, {"action": action, "rules": list(rules)}, "security")


def of_accounts(*names):
    return {"from": [{"source": {"principals": [f"cluster.local/ns/shop/sa/{name}" for name in names]}}]}


async def test_a_stock_server_takes_the_callers_that_policies_let_it_take(serve_mesh, ca, tmp_path):
    with claim() as block:
        address = block.address(1)
        async with serve_mesh(compile_class=compile_resources) as mesh, contextlib.AsyncExitStack() as stack:
            service = mesh.service("reviews", ports=[{"name": "grpc", "port": PORT}])
            feed(mesh, service, entry(address), peers("STRICT"))
            own = bootstrap(tmp_path / "reviews", mesh, "reviews", address, ca.issue(spiffe("reviews")), LABELS=APP)
            await stack.enter_async_context(serving_at(own, f"{address}:{PORT}"))
            name = f"reviews.shop.svc.cluster.local:{PORT}"

            async def caller_as(word, uri):
                file = bootstrap(tmp_path / word, mesh, word, identity=ca.issue(uri))
                return await stack.enter_async_context(calling(file, name, "mtls"))

            ann, bob = await caller_as("ann", spiffe("ann")), await caller_as("bob", spiffe("bob"))
            foreign = await caller_as("foreign", "spiffe://elsewhere.example/ns/shop/sa/ann")
            nameless = await caller_as("nameless", None)
            assert await ann.call() == spiffe("ann")
            assert await bob.call() == spiffe("bob")
            refused = "PERMISSION_DENIED"
            for other in (foreign, nameless):
                assert (await other.call()).startswith(refused), "the root vouches for it, its trust domain is another"
            # A connection keeps the policies that it came under until the server lets go of it: each is waited for.
            feed(mesh, authorization("denied", "DENY", of_accounts("bob")))
            await bob.until(refused)
            await ann.until(spiffe("ann"))
            # What is denied stays so, whatever else is allowed.
            feed(mesh, authorization("allowed", "ALLOW", of_accounts("bob")))
            await ann.until(refused)
            await bob.until(refused)
            feed(mesh, authorization("denied", "DENY", {"from": [{"source": {"namespaces": ["bad"]}}]}))
            await bob.until(spiffe("bob"))
            await ann.until(refused)
            named = {
                "from": [{"source": {"namespaces": ["shop"], "ipBlocks": ["127.0.0.0/8"]}}],
                "to": [{"operation": {"paths": ["/shop.Reviews/*"], "methods": ["POST"], "ports": [str(PORT)]}}],
                "when": [{"key": "request.headers[X-User]", "values": ["tester"], "notValues": ["mallory"]}],
            }
            feed(mesh, authorization("allowed", "ALLOW", named))
            await ann.until(spiffe("ann"), user="tester")
            await bob.until(refused)
            await bob.until(spiffe("bob"), user="tester")
            await foreign.until(refused, user="tester")
            # A list in a header is met by its parts.
            bad = {"when": [{"key": "request.headers[x-user]", "values": ["bad"]}]}
            feed(mesh, authorization("denied", "DENY", bad), authorization("allowed", "ALLOW", of_accounts("ann")))
            await ann.until(spiffe("ann"))
            await ann.until(refused, user="good, bad")
            # What cannot be looked at allows nothing; neither does a policy without rules.
            by_token = {"from": [{"source": {"requestPrincipals": ["*"]}}]}
            feed(mesh, authorization("allowed", "ALLOW", by_token))
            await ann.until(refused)
            feed(mesh, authorization("allowed", "ALLOW", of_accounts("ann")))
            await ann.until(spiffe("ann"))
            feed(mesh, istio("AuthorizationPolicy", "allowed", {}, "security"))
            await ann.until(refused)
