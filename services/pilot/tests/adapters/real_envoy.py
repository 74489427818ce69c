"""What a real Envoy needs to take its config from a Pilot of the tests."""

import asyncio
import contextlib

import httpx
from envoy.config.core.v3 import config_source_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

PORT = 8080
VARIANTS = ("DELTA_GRPC", "GRPC")
"""Delta, and state of the world."""
ADS = config_source_pb2.ConfigSource(
    ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.ApiVersion.V3
)


def listener(address, routes="r"):
    manager = http_connection_manager_pb2.HttpConnectionManager(stat_prefix="test")
    manager.rds.route_config_name = routes
    manager.rds.config_source.CopyFrom(ADS)
    manager.http_filters.add(name="router").typed_config.Pack(router_pb2.Router())
    made = listener_pb2.Listener(name="l")
    made.address.socket_address.address, made.address.socket_address.port_value = address, PORT
    made.filter_chains.add().filters.add(name="hcm").typed_config.Pack(manager)
    return made


def bootstrap(target, variant):
    host, port = target.split(":")
    ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
    return {
        "node": {"id": "sidecar~127.0.0.1~e.shop~shop.svc.cluster.local", "cluster": "e"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": variant,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds-grpc",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "load_assignment": {
                        "cluster_name": "xds-grpc",
                        "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
                    },
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                }
            ]
        },
    }


async def answer(reader, writer):
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()
    writer.close()


class Traffic:
    """Requests one after the other, and what became of them."""

    def __init__(self, url):
        self.url = url
        self.codes = []

    async def run(self):
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            while True:
                self.codes.append((await client.get(self.url)).status_code)
