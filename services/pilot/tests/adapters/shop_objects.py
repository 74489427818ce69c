"""Objects of the namespace `shop` that tests publish, and what Envoy calls them."""

CLUSTER = "outbound|80||reviews.shop.svc.cluster.local"
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "reviews", "namespace": "shop"},
    "spec": {"ports": [{"name": "http", "port": 80}], "clusterIP": "10.0.0.1", "selector": {"app": "reviews"}},
}
GROUP = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "WorkloadGroup",
    "metadata": {"name": "reviews", "namespace": "shop"},
    "spec": {"metadata": {"labels": {"app": "reviews"}}, "template": {"serviceAccount": "default"}},
}


def other_service(name):
    return {**SERVICE, "metadata": {"name": name, "namespace": "shop"}}
