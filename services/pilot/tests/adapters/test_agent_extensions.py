"""Extensions whose modules an agent pulls, and the credentials for that, on the agent's own stream."""

import yaml
from envoy.config.core.v3 import extension_pb2
from envoy.extensions.filters.http.wasm.v3 import wasm_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from meshcore.model.load import parse_object
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.pulled_module import PULL_SECRET
from meshcore.xds.secret_book import SecretState
from meshcore.xds.types import EXTENSION_CONFIG_TYPE, NAME_TABLE_TYPE, SECRET_TYPE
from pilot.core.compiler import compile_resources
from pilot.core.snapshot import MeshSnapshot

PLUGIN = """
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: image, namespace: shop}
spec: {url: "oci://registry.example/x:v1", imagePullSecret: registry}
"""
NAME, SECRET = "extensions.istio.io/trafficextension/shop.image", "pull://shop/registry"
DOCUMENT = b'{"auths": {}}'


class World:
    """Compiles what is in `objects` for everybody."""

    def __init__(self):
        self.objects = []

    def compile(self, _, proxy_class):
        return compile_resources(MeshSnapshot.of(map(parse_object, self.objects)), proxy_class)


def agent_of(mesh, credentials, namespace="shop"):
    who = node("web-1", namespace, service_account="web", GENERATOR="agent", MESHCORE_EXTENSIONS="true")
    proof = credentials(namespace=namespace, service_account="web")
    return AdsClient(mesh.secure, who, proof, types=[NAME_TABLE_TYPE])


def uri_of(held):
    described = extension_pb2.TypedExtensionConfig.FromString(held.body)
    vm = wasm_pb2.Wasm.FromString(described.typed_config.value).config.vm_config
    assert vm.environment_variables.key_values[PULL_SECRET] == SECRET
    return vm.code.remote.http_uri.uri


async def test_an_agent_has_the_description_and_the_credentials_that_it_asks_for(serve_mesh, workload_credentials):
    world, plugin = World(), yaml.safe_load(PLUGIN)
    async with serve_mesh(compile_class=world.compile) as mesh, agent_of(mesh, workload_credentials) as agent:
        await agent.ask(EXTENSION_CONFIG_TYPE, [NAME])
        world.objects = [plugin]
        mesh.change(mesh.service("any"))
        await agent.until(lambda: NAME in agent.held.get(EXTENSION_CONFIG_TYPE, {}))
        assert uri_of(agent.held[EXTENSION_CONFIG_TYPE][NAME]) == "oci://registry.example/x:v1"
        await agent.ask(SECRET_TYPE, [SECRET])
        assert set(mesh.hub.engine.wanted_secrets()) == {("shop", "registry")}
        mesh.hub.take_secret(("shop", "registry"), SecretState("1", {".dockerconfigjson": DOCUMENT}))
        await agent.until(lambda: SECRET in agent.names(SECRET_TYPE))
        secret = secret_pb2.Secret.FromString(agent.held[SECRET_TYPE][SECRET].body)
        assert secret.generic_secret.secret.inline_bytes == DOCUMENT

        plugin["spec"]["url"] = "registry.example/x:v2"
        mesh.change(mesh.service("any", clusterIP="10.0.0.2"))
        await agent.until(lambda: uri_of(agent.held[EXTENSION_CONFIG_TYPE][NAME]) == "registry.example/x:v2")


async def test_credentials_are_for_workloads_of_their_namespace(serve_mesh, workload_credentials):
    world, plugin = World(), yaml.safe_load(PLUGIN)
    plugin["metadata"]["namespace"] = "istio-system"
    world.objects = [plugin]
    name, secret = NAME.replace("shop.", "istio-system."), SECRET.replace("shop", "istio-system")
    async with serve_mesh(compile_class=world.compile) as mesh, agent_of(mesh, workload_credentials) as agent:
        for kind, wanted in ((SECRET_TYPE, secret), (EXTENSION_CONFIG_TYPE, name)):
            await agent.ask(kind, [wanted])
        mesh.hub.take_secret(("istio-system", "registry"), SecretState("1", {".dockerconfigjson": DOCUMENT}))
        await agent.until(lambda: name in agent.names(EXTENSION_CONFIG_TYPE))
        assert SECRET_TYPE not in agent.held or secret not in agent.names(SECRET_TYPE)
        assert "own namespace" in mesh.hub.engine.secret_problems()[secret, "shop"]
