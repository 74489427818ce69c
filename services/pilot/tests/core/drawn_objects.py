"""Objects of every kind, some of them wrong, that property tests draw: by kind, namespace, name and variant."""

from typing import Any

NAMESPACES = ("shop", "other", "istio-system")

NAMES = ("a", "b", "c")

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
            "ports": [{"name": port, "port": 8080} for port in ("http", "tcp", "any")],
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
                        **(
                            {"consistentHash": {"httpHeaderName": f"x-{variant}"}}
                            if variant % 4 == 3
                            else {"simple": ("RANDOM", "ROUND_ROBIN")[variant % 2]}
                        ),
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
                    {"hosts": _imports(variant, app)},
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
    if kind == "Service" and variant % 5 == 3:
        metadata["annotations"] = {"networking.istio.io/exportTo": (".", "shop", "~")[variant % 3]}
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


def _imports(variant: int, app: str) -> list[str]:
    return (
        ["./*"],
        ["*/*"],
        [f"other/{app}.other.svc.cluster.local"],
        [f"*/{app}.shop.svc.cluster.local", "~other/*"],
        ["*/shared.example", "~shop/a.example"],
        ["~/*"],
    )[variant % 6]


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
