"""Secrets over ADS where a Kubernetes API says who may list them (SubjectAccessReview)."""

from types import MappingProxyType

import pytest
from meshcore.http import listening
from meshcore.http.kubeconfig import Access
from meshcore.runtime import tasks
from meshcore.testing.ads_client import AdsClient, node
from meshcore.testing.identity import make_ca
from meshcore.xds.resource import ResourceSet
from meshcore.xds.secret_book import SecretState
from meshcore.xds.types import SECRET_TYPE
from pilot.adapters.secret_rights_source import SecretRightsSource
from pilot.core import secret_rights
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

PAIR, ROOT = "kubernetes://cert", "kubernetes://cert-cacert"


class ApiServer:
    """The one question; `may` has whom it allows, None breaks it."""

    def __init__(self):
        self.may = set()
        self.asked = []

    async def answer(self, request):
        spec = (await request.json())["spec"]
        self.asked.append(spec["user"])
        if self.may is None:
            return PlainTextResponse("<html>", 502)
        return JSONResponse({"status": {"allowed": spec["user"] in self.may}}, 201)


@pytest.fixture
async def api():
    server = ApiServer()
    app = Starlette(routes=[Route(secret_rights.PATH, server.answer, methods=["POST"])])
    async with listening(app, "127.0.0.1", 0) as port:
        server.access = Access(f"http://127.0.0.1:{port}", True)
        yield server


def with_secrets(snapshot, proxy_class):
    return ResourceSet(MappingProxyType({}), (), frozenset({PAIR, ROOT}))


async def test_a_key_pair_needs_the_right_and_comes_and_stays_with_it(
    api, serve_mesh, workload_credentials, monkeypatch, reached
):
    monkeypatch.setattr(secret_rights, "DENIED_FOR", 0.2)
    pair = make_ca().issue(None, dns=["shop.test"])
    data = {"tls.crt": pair.chain, "tls.key": pair.key.pem, "ca.crt": pair.root}
    front = "system:serviceaccount:shop:front"
    async with serve_mesh(compile_class=with_secrets) as mesh:
        mesh.hub.engine.rights.guarded = True
        source = SecretRightsSource(mesh.hub, api.access)
        who = node("a", "shop", service_account="front")
        credentials = workload_credentials(service_account="front")
        async with tasks.background(source.run(), name="rights"):
            async with AdsClient(mesh.secure, who, credentials, types=[SECRET_TYPE]) as client:
                for name in (("shop", "cert"), ("shop", "cert-cacert")):
                    mesh.hub.take_secret(name, SecretState("1", data))
                await client.ask(SECRET_TYPE, [PAIR, ROOT])
                await client.until(lambda: client.names(SECRET_TYPE) == {ROOT})
                await reached(lambda: api.asked.count(front) > 1)
                assert mesh.hub.engine.wanted_secrets().keys() == {("shop", "cert-cacert"), ("shop", "cert")}
                assert "no right" in mesh.hub.engine.secret_problems()[PAIR, "shop"]
                api.may = {front}
                await client.until(lambda: client.names(SECRET_TYPE) == {PAIR, ROOT})
                asked = len(api.asked)
            async with AdsClient(mesh.secure, who, credentials, types=[SECRET_TYPE]) as client:
                await client.ask(SECRET_TYPE, [PAIR])
                await client.until(lambda: client.names(SECRET_TYPE) == {PAIR})
                assert len(api.asked) == asked, "the answer is kept"
            api.may = None
            other = node("b", "shop", service_account="other")
            async with AdsClient(
                mesh.secure, other, workload_credentials(service_account="other"), types=[SECRET_TYPE]
            ) as client:
                await client.ask(SECRET_TYPE, [PAIR, ROOT])
                await reached(lambda: api.asked.count("system:serviceaccount:shop:other") > 1)
                assert client.names(SECRET_TYPE) == {ROOT}, "who cannot be asked about has no right"
                api.may = {"system:serviceaccount:shop:other"}
                await client.until(lambda: client.names(SECRET_TYPE) == {PAIR, ROOT})
