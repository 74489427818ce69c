"""Snapshots: what is updated equals what is built anew, and what did not change stays the same object."""

import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.model.kinds import by_kind
from meshcore.model.load import dump_object, parse_object
from meshcore.testing.envoy import validate
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.impact import affects
from pilot.core.proxy import classify, parse_node
from pilot.core.registry import RegisteredWorkload
from pilot.core.snapshot import MeshSnapshot

NAMESPACES = ("shop", "other", "istio-system")
NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Record:
    revision: int
    body: dict[str, Any] | None

    @property
    def deleted(self) -> bool:
        return self.body is None

    @property
    def object(self) -> dict[str, Any]:
        return self.body or {}


@dataclass(frozen=True)
class Change:
    key: tuple[str, str, str, str]
    record: Record
    previous: Record | None = None


NETWORKS = """
networks:
  a: {endpoints: [{fromCidr: 10.2.0.0/16}], gateways: [{address: 192.0.2.99, port: 443}]}
  b: {gateways: [{registryServiceName: a.shop.svc.cluster.local, port: 15443}]}
"""


def document(kind: str, namespace: str, name: str, variant: int) -> dict[str, Any]:
    """One of a few forms of an object of each kind; small worlds collide often, which is the point."""
    app, other = NAMES[variant % 3], NAMES[(variant + 1) % 3]
    group = "security.istio.io/v1" if kind == "PeerAuthentication" else "networking.istio.io/v1"
    core = {
        "Telemetry": "telemetry.istio.io/v1",
        "WasmPlugin": "extensions.istio.io/v1alpha1",
        "ProxyConfig": "networking.istio.io/v1beta1",
        "RequestAuthentication": "security.istio.io/v1",
        "AuthorizationPolicy": "security.istio.io/v1",
        "Endpoints": "v1",
        "Secret": "v1",
        "TrafficExtension": "extensions.istio.io/v1alpha1",
        "EnvoyFilter": "networking.istio.io/v1alpha3",
        "Service": "v1",
        "EndpointSlice": "discovery.k8s.io/v1",
        "Pod": "v1",
        "Namespace": "v1",
        "Node": "v1",
        "Ingress": "networking.k8s.io/v1",
        "IngressClass": "networking.k8s.io/v1",
        "ConfigMap": "v1",
    }
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    bodies: dict[str, dict[str, Any]] = {
        "Service": {
            "spec": {
                "clusterIP": ("None", "10.0.0.1", "")[variant % 3],
                **({"selector": {"app": app}} if variant % 4 else {}),
                "internalTrafficPolicy": ("Cluster", "Local")[variant % 5 == 0],
                "externalIPs": [f"192.0.2.{variant}"],
                "ports": [{"name": ("http", "tcp", "any")[variant % 3], "port": 80 + variant % 2, "targetPort": 8080}],
            }
        },
        "ServiceEntry": {
            "spec": {
                "hosts": [f"{app}.example", "shared.example"],
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "resolution": ("STATIC", "DNS", "NONE")[variant % 3],
                "exportTo": [("*", ".", "shop")[variant % 3]],
                **({"workloadSelector": {"labels": {"app": other}}} if variant % 3 == 0 else {}),
            }
        },
        "WorkloadEntry": {
            "spec": {
                "address": f"10.1.0.{variant}",
                "labels": {"app": app},
                "serviceAccount": other,
                "network": ("", other)[variant % 3 == 1],
            }
        },
        "WorkloadGroup": {
            "spec": {"metadata": {"labels": {"app": app}}, "template": {"ports": {"http": 8000 + variant}}}
        },
        "EndpointSlice": {
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [
                {
                    "addresses": [f"10.2.0.{variant}"],
                    "targetRef": {"kind": "Pod", "name": other},
                    "nodeName": app,
                    "conditions": {"ready": variant % 3 > 0},
                }
            ],
        },
        "Pod": {"spec": {"serviceAccountName": other, "nodeName": app, "containers": [{"name": "main"}]}},
        "Node": {"spec": {}},
        "Namespace": {},
        "VirtualService": {
            "spec": {
                "hosts": [app, "shared.example"] if variant % 5 else [],
                "exportTo": [("*", ".", "~")[variant % 3]],
                "gateways": ["mesh", "a", "shop/b"][variant % 2 :],
                "tls": [{"match": [{"sniHosts": ["shared.example"]}], "route": [{"destination": {"host": other}}]}],
                "http": [
                    *([{"delegate": {"name": other, "namespace": "shop"}}] if variant % 5 == 1 else []),
                    {
                        "match": [{"sourceLabels": {"tier": other}}],
                        "route": [{"destination": {"host": other, "subset": "v1"}}],
                    },
                    {"timeout": f"{variant}s", "route": [{"destination": {"host": app}}]},
                ],
            }
        },
        "Gateway": {
            "spec": {
                "selector": {"app": app} if variant % 4 else {},
                "servers": [
                    {"port": {"number": 80, "name": "h", "protocol": "HTTP"}, "hosts": [("*", "./*")[variant % 2]]},
                    {
                        "port": {"number": 443, "name": "s", "protocol": "TLS"},
                        "hosts": [("*.local", "*.example", f"{namespace}/{app}.example")[variant % 3]],
                        "tls": {"mode": ("AUTO_PASSTHROUGH", "PASSTHROUGH", "ISTIO_MUTUAL")[variant % 3]},
                    },
                    {
                        "port": {"number": 8443, "name": "c", "protocol": "HTTPS"},
                        "hosts": ["*"],
                        "tls": {"mode": ("SIMPLE", "MUTUAL")[variant % 2], "credentialName": f"cert-{other}"},
                    },
                ],
            }
        },
        "DestinationRule": {
            "spec": {
                "host": (f"{app}.{namespace}.svc.cluster.local", app, "*.example")[variant % 3],
                "subsets": [{"name": "v1", "labels": {"app": app}}],
                "trafficPolicy": {
                    "loadBalancer": {
                        "simple": ("RANDOM", "ROUND_ROBIN")[variant % 2],
                        **({"localityLbSetting": {"failoverPriority": ["tier", "app=a"]}} if variant % 3 == 1 else {}),
                    },
                    "outlierDetection": {"consecutive5xxErrors": 3},
                },
            }
        },
        "PeerAuthentication": {
            "spec": {
                "mtls": {"mode": ("STRICT", "DISABLE", "PERMISSIVE")[variant % 3]},
                **({"selector": {"matchLabels": {"app": app}}} if variant % 2 else {}),
            }
        },
        "RequestAuthentication": {
            "spec": {
                "jwtRules": [
                    {"issuer": app, "jwksUri": f"http://{other}.{namespace}/keys"},
                    *([{"issuer": "i", "jwks": '{"keys": []}', "outputPayloadToHeader": "x-p"}] * (variant % 3)),
                ],
                **({"selector": {"matchLabels": {"app": app}}} if variant % 2 else {}),
            }
        },
        "Sidecar": {
            "spec": {
                "egress": [
                    *([_egress(variant)] if variant % 4 == 1 else []),
                    {"hosts": [("./*", "*/*", f"other/{app}.other.svc.cluster.local")[variant % 3]]},
                ],
                **({"ingress": [_ingress(variant)]} if variant % 4 == 3 else {}),
                **({"workloadSelector": {"labels": {"app": app}}} if variant % 2 else {}),
            }
        },
        "Telemetry": {
            "spec": {
                **({"selector": {"matchLabels": {"app": app}}} if variant % 3 else {}),
                "accessLogging": [{"providers": [{"name": "envoy"}], "disabled": variant % 4 == 0}],
                "metrics": [{"providers": [{"name": "prometheus"}]}] if variant % 2 else [],
            }
        },
        "WasmPlugin": {
            "spec": {
                "url": ("http://b.example/b.wasm", "oci://hub.example/a", "http://a.example/a.wasm")[variant % 3],
                **({"sha256": f"{variant:064x}"} if variant % 2 else {}),
                "type": ("HTTP", "NETWORK")[variant // 2 % 2],
                "phase": ("AUTHN", "AUTHZ", "STATS")[variant % 3],
                **({"selector": {"matchLabels": {"app": app}}} if variant % 4 else {}),
                "pluginConfig": {"n": variant},
            }
        },
        "ProxyConfig": {
            "spec": {
                **({"selector": {"matchLabels": {"app": app}}} if variant % 2 else {}),
                "concurrency": variant,
            }
        },
        "AuthorizationPolicy": {
            "spec": {
                **({"selector": {"matchLabels": {"app": app}}} if variant % 2 else {}),
                "action": ("ALLOW", "DENY")[variant % 2],
                "rules": [{"from": [{"source": {"namespaces": [other]}}]}],
            }
        },
        "Endpoints": {
            "subsets": [
                {
                    "addresses": [{"ip": f"10.4.0.{variant + 1}"}],
                    "ports": [{"name": "http", "port": 8080 + variant % 2}],
                }
            ]
        },
        "Secret": {"type": "Opaque", "data": {"ca.crt": ("YQ==", "Yg==")[variant % 2]}},
        "TrafficExtension": {
            "spec": {
                "priority": variant % 2,
                "phase": ("AUTHN", "STATS")[variant % 2],
                **({"selector": {"matchLabels": {"app": app}}} if variant % 3 else {}),
                "match": [{"mode": ("CLIENT", "SERVER", "CLIENT_AND_SERVER")[variant % 3]}],
                "lua": {"inlineCode": f"-- {variant}"},
            }
        },
        "EnvoyFilter": {
            "spec": {
                "priority": variant % 2,
                **({"workloadSelector": {"labels": {"app": app}}} if variant % 3 else {}),
                "configPatches": [
                    {
                        "applyTo": "CLUSTER",
                        "match": {"proxy": {"metadata": {"TEAM": other}}} if variant % 4 == 0 else {},
                        "patch": {"operation": "MERGE", "value": {"connect_timeout": f"{variant % 3}s"}},
                    },
                    {
                        "applyTo": ("LISTENER", "CLUSTER", "EXTENSION_CONFIG")[variant % 3],
                        "patch": {"operation": "ADD", "value": {"name": name}},
                    },
                    {
                        "applyTo": "VIRTUAL_HOST",
                        "patch": {
                            "operation": "MERGE",
                            "value": {"request_headers_to_add": [{"header": {"key": f"x-{variant}", "value": app}}]},
                        },
                    },
                    {
                        "applyTo": "HTTP_FILTER",
                        "match": {"context": ("SIDECAR_INBOUND", "SIDECAR_OUTBOUND")[variant % 2]},
                        "patch": {
                            "operation": ("ADD", "INSERT_FIRST")[variant // 2 % 2],
                            "value": {
                                "name": f"{name}-{namespace}",
                                "typed_config": {
                                    "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
                                    "max_request_bytes": 1 + variant,
                                },
                            },
                        },
                    },
                ],
            }
        },
        "Ingress": {
            "spec": {
                **({"ingressClassName": other} if variant % 2 else {}),
                **({"tls": [{"hosts": [f"{app}.example"], "secretName": other}]} if variant % 3 else {}),
                "rules": [
                    {
                        "host": ("shared.example", f"{app}.example", "")[variant % 3],
                        "http": {
                            "paths": [
                                {
                                    "path": f"/{variant % 2}",
                                    "pathType": ("Exact", "Prefix", "ImplementationSpecific")[variant % 4 % 3],
                                    "backend": {
                                        "service": {
                                            "name": other,
                                            "port": {"number": 80} if variant % 5 == 0 else {"name": "http"},
                                        }
                                    },
                                }
                            ]
                        },
                    }
                ],
            }
        },
        "IngressClass": {"spec": {"controller": ("istio.io/ingress-controller", "other.example/c")[variant % 2]}},
        "ConfigMap": {
            "data": {
                "mesh": f"proxyHttpPort: {15000 + variant % 2}\nenableAutoMtls: {str(variant % 3 > 0).lower()}\n"
                + ("discoverySelectors: [{matchLabels: {in: a}}]\n" if variant % 4 == 1 else "")
                + ("ingressControllerMode: DEFAULT\n" if variant % 5 == 3 else "")
                + ("localityLbSetting: {failoverPriority: [tier]}\n" if variant % 4 == 2 else ""),
                **({"meshNetworks": NETWORKS} if variant % 3 == 2 else {}),
            }
        },
    }
    if kind == "Service" and variant % 3 == 2:
        metadata["labels"] = {"topology.istio.io/network": app, "networking.istio.io/gatewayPort": "80"}
    if kind == "EndpointSlice":
        metadata["labels"] = {"kubernetes.io/service-name": app}
    if kind == "Pod":
        metadata["labels"] = {"app": other, "security.istio.io/tlsMode": ("istio", "disabled")[variant % 2]}
    if kind == "Node":
        metadata = {"name": name, "labels": {"topology.kubernetes.io/region": f"r{variant % 2}"}}
    if kind == "IngressClass":
        metadata = {"name": name}
    if kind == "Namespace":
        spoken = ("", "PreferClose", "PreferSameNode")[variant % 3]
        annotations = {"networking.istio.io/traffic-distribution": spoken}
        labels = {"in": name} | ({"topology.istio.io/network": app} if variant % 4 == 3 else {})
        metadata = {"name": namespace, "labels": labels, "annotations": annotations}
    if kind == "ConfigMap":
        metadata = {"name": "istio", "namespace": "istio-system"}
    return {"apiVersion": core.get(kind, group), "kind": kind, "metadata": metadata, **bodies[kind]}


def _ingress(variant: int) -> dict[str, Any]:
    return {
        "port": {"number": 8080 + variant % 2, "protocol": ("HTTP", "TCP", "GRPC")[variant % 3], "name": "in"},
        "captureMode": ("DEFAULT", "NONE")[variant // 2 % 2],
        "bind": ("", "127.0.0.9")[variant % 5 % 2],
        "defaultEndpoint": ("", "127.0.0.1:9090", "0.0.0.0:9090", "unix:///app")[variant % 7 % 4],
        **({"connectionPool": {"tcp": {"maxConnections": variant}}} if variant % 5 else {}),
    }


def _egress(variant: int) -> dict[str, Any]:
    return {
        "port": {
            "number": 80 + variant % 2,
            "protocol": ("HTTP", "TCP", "TLS", "HTTP_PROXY")[variant // 2 % 4],
            "name": "out",
        },
        "captureMode": ("DEFAULT", "NONE")[variant % 3 % 2],
        "bind": ("", "127.0.0.9")[variant % 5 % 2],
        "hosts": [("./*", "*/*", "~shop/a.shop.svc.cluster.local")[variant % 7 % 3], "*/shared.example"],
    }


KINDS = (
    "Service",
    "ServiceEntry",
    "WorkloadEntry",
    "WorkloadGroup",
    "EndpointSlice",
    "Pod",
    "Node",
    "Namespace",
    "VirtualService",
    "Gateway",
    "Ingress",
    "IngressClass",
    "DestinationRule",
    "PeerAuthentication",
    "Sidecar",
    "EnvoyFilter",
    "TrafficExtension",
    "WasmPlugin",
    "ProxyConfig",
    "RequestAuthentication",
    "AuthorizationPolicy",
    "Endpoints",
    "Secret",
    "Telemetry",
    "ConfigMap",
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.sampled_from(NAMESPACES),
        st.sampled_from(NAMES),
        st.integers(-2, 11),  # negative: the object is deleted
    ),
    min_size=1,
    max_size=25,
)
REGISTERED = (
    RegisteredWorkload("r1", "shop", "a", "10.3.0.1", {"extra": "1"}, "a"),
    RegisteredWorkload("r2", "shop", "b", "10.3.0.2", {}, "b"),
    RegisteredWorkload("r3", "other", "c", "10.3.0.3", {}, "c", healthy=False),
)
NODES = [
    {
        "id": f"sidecar~10.1.0.{index}~{app}.{namespace}~{namespace}.svc.cluster.local",
        "metadata": {"NAMESPACE": namespace, "LABELS": {"app": app, "tier": "a"}, **more},
    }
    for index, (app, namespace, more) in enumerate(
        [
            ("a", "shop", {"TEAM": "b", "NETWORK": "a"}),
            ("b", "other", {}),
            ("a", "shop", {"INTERCEPTION_MODE": "NONE", "MESHCORE_APP_ADDRESS": "127.1.1.1"}),
        ],
        start=1,
    )
]
NODES += [
    {
        "id": f"router~10.1.0.8~gateway.{namespace}~{namespace}.svc.cluster.local",
        "metadata": {"NAMESPACE": namespace, "LABELS": {"app": "a", "istio": "ingressgateway"}, **more},
    }
    for namespace, more in [
        ("shop", {}),
        ("other", {"INTERCEPTION_MODE": "NONE", "MESHCORE_APP_ADDRESS": "127.1.1.8", "UNPRIVILEGED_POD": "true"}),
    ]
]


def changes_of(steps) -> list[Change]:
    last: dict[tuple[str, str, str, str], Record] = {}
    changes = []
    for revision, (kind, namespace, name, variant) in enumerate(steps, start=1):
        body = document(kind, namespace, name, max(variant, 0))
        info = by_kind(body["apiVersion"], kind)
        key = (info.group, info.plural, body["metadata"].get("namespace", ""), body["metadata"]["name"])
        record = Record(revision, None if variant < 0 else dump_object(parse_object(body)))
        changes.append(Change(key, record, last.get(key)))
        last[key] = record
    return changes


def compiled(snapshot: MeshSnapshot, cache: CompileCache | None = None):
    found = []
    for node in NODES:
        resources = compile_resources(snapshot, classify(parse_node(node), snapshot.selection), cache)
        by_type = {t: dict(m) for t, m in resources.resources.items()}
        found.append((by_type, resources.diagnostics, resources.secrets))
    return found


@settings(max_examples=150)
@given(STEPS)
def test_applied_step_by_step_equals_built_at_once_and_memos_change_nothing(steps):
    changes = changes_of(steps)
    cache = CompileCache()
    snapshot = MeshSnapshot.empty().with_registered(REGISTERED)
    for change in changes:
        snapshot = snapshot.apply([change])
        compiled(snapshot, cache)
    entries = {change.key: change.record for change in changes}
    fresh = MeshSnapshot.of_entries(entries, len(changes)).with_registered(REGISTERED)
    assert snapshot.registry.services == fresh.registry.services
    assert snapshot.registry.endpoints == fresh.registry.endpoints
    assert snapshot.selection == fresh.selection
    assert compiled(snapshot, cache) == compiled(fresh)


@settings(max_examples=50)
@given(STEPS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(steps, shuffler: random.Random):
    entries = list({change.key: change.record for change in changes_of(steps)}.items())
    first = MeshSnapshot.of_entries(dict(entries), 1).with_registered(REGISTERED)
    shuffler.shuffle(entries)
    second = MeshSnapshot.empty()
    for key, record in entries:
        second = second.apply([Change(key, record)])
    second = second.with_registered(reversed(REGISTERED))
    assert compiled(first) == compiled(second)


@settings(max_examples=150)
@given(STEPS)
def test_what_is_said_to_be_unaffected_compiles_to_the_same(steps):
    snapshot = MeshSnapshot.empty().with_registered(REGISTERED)
    for change in changes_of(steps):
        before, snapshot = snapshot, snapshot.apply([change])
        for node in NODES:
            proxy = parse_node(node)
            old, new = classify(proxy, before.selection), classify(proxy, snapshot.selection)
            if old == new and not affects(change, new, snapshot):
                was, now = compile_resources(before, old), compile_resources(snapshot, new)
                assert (was.resources, was.secrets) == (now.resources, now.secrets)


@settings(max_examples=100)
@given(STEPS)
def test_classes_depend_on_the_selection_only(steps):
    snapshot = MeshSnapshot.empty().with_registered(REGISTERED)
    for change in changes_of(steps):
        before, snapshot = snapshot, snapshot.apply([change])
        if before.selection is snapshot.selection:
            continue
        assert before.selection != snapshot.selection, "an equal selection is the same object"


def test_what_did_not_change_stays_the_same_object():
    changes = changes_of(
        [("Service", "shop", "a", 1), ("VirtualService", "shop", "a", 1), ("WorkloadEntry", "shop", "a", 1)]
    )
    before = MeshSnapshot.empty().apply(changes)
    after = before.apply(changes_of([("DestinationRule", "shop", "b", 2)]))
    assert after.registry is before.registry
    assert after.selection is before.selection
    assert after.mesh_config is before.mesh_config
    assert after.by_namespace["VirtualService"] is before.by_namespace["VirtualService"]


def test_an_endpoint_that_comes_changes_neither_the_services_nor_the_classes():
    before = MeshSnapshot.empty().apply(changes_of([("Service", "shop", "a", 1), ("WorkloadEntry", "shop", "a", 1)]))
    after = before.apply(changes_of([("WorkloadEntry", "shop", "b", 4)]))
    assert len(next(iter(after.registry.endpoints.values()))) == 2
    assert after.registry.by_host is before.registry.by_host
    assert after.selection is before.selection


def test_an_object_that_cannot_be_read_keeps_its_last_good_form():
    good = changes_of([("Service", "shop", "a", 1)])
    before = MeshSnapshot.empty().apply(good)
    bad = Change(good[0].key, Record(2, {"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": {"ports": 7}}))
    after = before.apply([bad])
    assert after.registry.services == before.registry.services
    assert [item.code for item in after.diagnostics.values()] == ["unreadable"]
    assert after.apply(good).diagnostics == {}


def test_a_broken_mesh_config_keeps_the_last_good_one():
    before = MeshSnapshot.empty().apply(changes_of([("ConfigMap", "", "", 1)]))
    assert before.mesh_config.proxy_http_port == 15001
    broken = document("ConfigMap", "", "", 1) | {"data": {"mesh": "proxyHttpPort: many"}}
    after = before.apply([Change(("", "configmaps", "istio-system", "istio"), Record(2, broken))])
    assert after.mesh_config is before.mesh_config
    assert len(after.diagnostics) == 1


def test_a_registered_workload_without_its_group_is_no_endpoint():
    service = changes_of([("Service", "shop", "a", 1)])  # selects app: b
    alone = MeshSnapshot.empty().apply(service).with_registered(REGISTERED)
    assert alone.registry.endpoints == {}
    grouped = alone.apply(changes_of([("WorkloadGroup", "shop", "b", 1)]))
    (endpoints,) = grouped.registry.endpoints.values()
    assert [(item.address, item.port, item.workload) for item in endpoints] == [("10.3.0.2", 8080, "b")]
    assert grouped.with_registered(()).registry.endpoints == {}


def test_unknown_kinds_are_passed_over():
    change = Change(
        ("example.com", "things", "shop", "x"), Record(7, {"apiVersion": "example.com/v1", "kind": "Thing"})
    )
    assert MeshSnapshot.empty().apply([change]).revision == 7


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_the_test_world_is_a_kind(kind):
    assert parse_object(document(kind, "shop", "a", 1)).kind == kind


@settings(max_examples=12)
@given(STEPS)
def test_envoy_accepts_whatever_a_mesh_becomes(steps):
    snapshot = MeshSnapshot.empty().with_registered(REGISTERED).apply(changes_of(steps))
    for node in NODES:
        validate(as_bootstrap(compile_resources(snapshot, classify(parse_node(node), snapshot.selection)), node))
