"""A live Envoy that says of whole resource sets what it refuses: some milliseconds each, in the words of production.

with envoy_checker(tmp_path) as checker:
    assert checker.refusals(resources) == []

It is asked over ADS as a proxy is: clusters, endpoints, listeners, routes, each until it was acknowledged or refused.
Listeners do not bind, so what depends on their addresses (two on one) is seen by `envoy.validate` only. Endpoints and
route configurations get names that no earlier check has used, so Envoy always asks for them anew.
"""

import contextlib
import itertools
import json
import queue
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2

from meshcore.testing.envoy import envoy_path
from meshcore.testing.identity import TestCa, make_ca
from meshcore.tls.identity import ServiceIdentity
from meshcore.xds import registry
from meshcore.xds.names import ROOT_CERTIFICATE, SDS_CLUSTER
from meshcore.xds.resource import ResourceSet
from meshcore.xds.secret_names import CA_SUFFIX, CONFIG_MAP, FILE_ROOT
from meshcore.xds.types import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    EXTENSION_CONFIG_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SECRET_TYPE,
)

ANSWER_WITHIN = 60.0
"""Seconds. Rings of eight million places take a busy machine a while."""
_DISCOVERY = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_SECRETS = "envoy.service.secret.v3.SecretDiscoveryService"
_Manager = http_connection_manager_pb2.HttpConnectionManager


class EnvoyChecker:
    """One stream of one Envoy; not for use by several threads."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._requests: queue.Queue[Any] = queue.Queue()
        self._responses: queue.Queue[Any] = queue.Queue()
        self._nonces = itertools.count(1)
        self._checks = itertools.count(1)
        self._held: dict[str, set[str]] = {CLUSTER_TYPE: set(), LISTENER_TYPE: set()}
        self._offered: dict[str, Mapping[str, bytes]] = {}
        """By type: what is given to whoever asks for it."""
        self._asked: dict[str, set[str]] = {}
        self._unanswered: set[str] = set()
        self._refused: list[str] = []

    def serve(self, requests: Iterator[Any], _: Any) -> Iterator[bytes]:
        """The handler of the stream."""
        threading.Thread(target=self._collect, args=(requests,), daemon=True).start()
        while (response := self._responses.get()) is not None:
            yield response

    def begin(self) -> None:
        """Bring Envoy up with nothing, so that nothing later is part of its start."""
        for type_url in self._held:
            self._until(partial(self._asked.__contains__, type_url))
            self._send(type_url, {}, ())

    def end(self) -> None:
        """Let the handler return."""
        self._responses.put(None)

    def refusals(self, resources: ResourceSet) -> list[str]:
        """What Envoy says against them, in its own words; empty when it takes everything."""
        suffix = f"#{next(self._checks)}"
        clusters, endpoints = _clusters(resources, suffix)
        listeners, routes = _listeners(resources, suffix)
        self._refused = []
        self._offered = {
            ENDPOINT_TYPE: endpoints,
            ROUTE_TYPE: routes,
            EXTENSION_CONFIG_TYPE: {name: one.body for name, one in resources.of_type(EXTENSION_CONFIG_TYPE).items()},
        }
        for type_url, named, followed in (
            (CLUSTER_TYPE, clusters, ENDPOINT_TYPE),
            (LISTENER_TYPE, listeners, ROUTE_TYPE),
        ):
            before = len(self._refused)
            self._send(type_url, named, self._held[type_url] - named.keys())
            self._held[type_url] = set(named)
            self._until(lambda: not self._unanswered)
            if len(self._refused) == before:  # what was refused asks for nothing
                self._until(partial(self._has_taken, followed))
        return self._refused

    def _has_taken(self, type_url: str) -> bool:
        """Whether Envoy has asked for everything of a type that is offered, and answered everything."""
        return not self._unanswered and self._offered[type_url].keys() <= self._asked.get(type_url, set())

    def _send(self, type_url: str, named: Mapping[str, bytes], gone: Iterable[str]) -> None:
        nonce = str(next(self._nonces))
        self._unanswered.add(nonce)
        self._responses.put(_response(type_url, named, gone, nonce))

    def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            try:
                self._take(self._requests.get(timeout=ANSWER_WITHIN))
            except queue.Empty:
                text = self._log.read_text(errors="replace")[-2000:]
                raise AssertionError(f"Envoy (exit code {self._process.poll()}) does not answer: {text}") from None

    def _take(self, request: Any) -> None:
        kind = request.type_url
        asked = self._asked.setdefault(kind, set())
        asked -= set(request.resource_names_unsubscribe)
        asked |= set(request.resource_names_subscribe)
        offered = _secrets(request.resource_names_subscribe) if kind == SECRET_TYPE else self._offered.get(kind, {})
        if found := {name: offered[name] for name in request.resource_names_subscribe if name in offered}:
            self._send(kind, found, ())
        self._unanswered.discard(request.response_nonce)
        if request.error_detail.message and kind != SECRET_TYPE:
            self._refused.append(request.error_detail.message)

    def _collect(self, requests: Iterator[Any]) -> None:
        with contextlib.suppress(grpc.RpcError):
            for request in requests:
                self._requests.put(request)


@cache
def _authority() -> tuple[TestCa, ServiceIdentity]:
    ca = make_ca()
    return ca, ca.issue("spiffe://cluster.local/ns/default/sa/checker")


def _secrets(names: Iterable[str]) -> dict[str, bytes]:
    """A root or a key pair for each name, whichever its name stands for: Envoy acknowledges no clusters while one of
    them waits for a secret."""
    ca, identity = _authority()
    made = {}
    for name in names:
        secret = secret_pb2.Secret(name=name)
        if name == ROOT_CERTIFICATE or name.endswith(CA_SUFFIX) or name.startswith((FILE_ROOT, CONFIG_MAP)):
            secret.validation_context.trusted_ca.inline_bytes = ca.root_pem
        else:
            secret.tls_certificate.certificate_chain.inline_bytes = identity.chain
            secret.tls_certificate.private_key.inline_bytes = identity.key.pem
        made[name] = secret.SerializeToString()
    return made


def _serve_secrets(requests: Iterator[Any], _: Any) -> Iterator[bytes]:
    for number, request in enumerate(requests):
        if request.resource_names_subscribe:
            yield _response(SECRET_TYPE, _secrets(request.resource_names_subscribe), (), str(number))


def _response(type_url: str, named: Mapping[str, bytes], gone: Iterable[str], nonce: str) -> bytes:
    response = discovery_pb2.DeltaDiscoveryResponse(
        type_url=type_url, nonce=nonce, system_version_info=nonce, removed_resources=sorted(gone)
    )
    for name, body in named.items():
        item = response.resources.add(name=name, version=nonce)
        item.resource.type_url = type_url
        item.resource.value = body
    packed: bytes = response.SerializeToString()
    return packed


def _clusters(resources: ResourceSet, suffix: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    clusters: dict[str, bytes] = {}
    used: dict[str, bytes] = {}
    assignments = resources.of_type(ENDPOINT_TYPE)
    for name, one in resources.of_type(CLUSTER_TYPE).items():
        cluster = cluster_pb2.Cluster.FromString(one.body)
        if cluster.type == cluster_pb2.Cluster.EDS:
            service = cluster.eds_cluster_config.service_name or name
            cluster.eds_cluster_config.service_name = service + suffix
            found = assignments.get(service)
            assignment = endpoint_pb2.ClusterLoadAssignment.FromString(found.body if found else b"")
            assignment.cluster_name = service + suffix
            used[service + suffix] = assignment.SerializeToString()
        clusters[name] = cluster.SerializeToString()
    return clusters, used


def _listeners(resources: ResourceSet, suffix: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    listeners: dict[str, bytes] = {}
    used: dict[str, bytes] = {}
    configs = resources.of_type(ROUTE_TYPE)
    for name, one in resources.of_type(LISTENER_TYPE).items():
        listener = listener_pb2.Listener.FromString(one.body)
        listener.bind_to_port.value = False
        # Envoy 1.40 ends with a segmentation fault when a listener that does not bind becomes transparent.
        listener.ClearField("transparent")
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            for filter_ in chain.filters:
                if not filter_.typed_config.Is(_Manager.DESCRIPTOR):
                    continue
                manager = _Manager.FromString(filter_.typed_config.value)
                if manager.HasField("rds"):
                    route = manager.rds.route_config_name
                    manager.rds.route_config_name = route + suffix
                    found = configs.get(route)
                    config = route_pb2.RouteConfiguration.FromString(found.body if found else b"")
                    config.name = route + suffix
                    used[route + suffix] = config.SerializeToString()
                    filter_.typed_config.Pack(manager)
        listeners[name] = listener.SerializeToString()
    return listeners, used


@contextlib.contextmanager
def envoy_checker(directory: Path) -> Iterator[EnvoyChecker]:
    """An Envoy for as long as the block lasts; files go to `directory` (mind the 107 bytes of a socket's path)."""
    registry.load()
    socket, log, file = directory / "ads.sock", directory / "checker.log", directory / "checker.json"
    file.write_text(json.dumps(_bootstrap(str(socket), directory)))
    server = grpc.server(ThreadPoolExecutor(1000))
    server.add_insecure_port(f"unix:{socket}")
    with log.open("wb") as output:
        checkers: list[EnvoyChecker] = []
        services = {
            _DISCOVERY: ("DeltaAggregatedResources", lambda requests, context: checkers[0].serve(requests, context)),
            _SECRETS: ("DeltaSecrets", _serve_secrets),
        }
        read = discovery_pb2.DeltaDiscoveryRequest.FromString
        server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    service, {method: grpc.stream_stream_rpc_method_handler(serve, request_deserializer=read)}
                )
                for service, (method, serve) in services.items()
            ]
        )
        options = ("--concurrency", "1", "--disable-hot-restart", "-l", "error", "--skip-deprecated-logs")
        process = subprocess.Popen((envoy_path(), "-c", str(file), *options), stdout=output, stderr=output)  # noqa: S603 - the packaged Envoy
    checkers.append(EnvoyChecker(process, log))
    server.start()
    try:
        checkers[0].begin()
        yield checkers[0]
    finally:
        process.kill()
        process.wait()
        checkers[0].end()
        server.stop(None).wait()


def _bootstrap(socket: str, directory: Path) -> dict[str, Any]:
    ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    return {
        "node": {"id": "sidecar~127.0.0.1~checker.default~default.svc.cluster.local", "cluster": "checker"},
        "admin": {"address": {"pipe": {"path": str(directory / "admin.sock"), "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "ads"}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {"clusters": [_local("ads", socket), _local(SDS_CLUSTER, socket)]},
        "layered_runtime": {
            "layers": [{"name": "mesh", "static_layer": {"re2.max_program_size.error_level": "32768"}}]
        },
    }


def _local(name: str, path: str) -> dict[str, Any]:
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": {"pipe": {"path": path}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }
