"""What config cannot have is counted: parts of Gateways, once for each reason, and VirtualServices without a say."""

from meshcore import metrics
from meshcore.model.load import parse_object
from meshcore.xds import delta
from pilot.adapters.hub import Hub
from pilot.core.admission import Admission
from pilot.core.compiler import compile_resources
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.impact import affects
from pilot.core.node import parse_node
from pilot.core.snapshot import MeshSnapshot

NODE = {"id": "router~10.1.0.30~edge-1.edge~edge.svc.cluster.local", "metadata": {"LABELS": {"app": "edge"}}}


def gateway(name: str, port: int) -> dict[str, object]:
    server = {"port": {"number": port, "name": "raw", "protocol": "TCP"}, "hosts": ["*"]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "edge", "creationTimestamp": f"2026-01-01T00:00:0{len(name)}Z"},
        "spec": {"selector": {"app": "edge"}, "servers": [server]},
    }


def counted(name: str) -> float:
    labels = {"type": "gateway", "name": name}
    return metrics.REGISTRY.get_sample_value("pilot_total_rejected_configs", labels) or 0.0


def test_a_server_that_is_refused_is_counted_once() -> None:
    hub = Hub(Engine(compile_resources, affects, Debounce(0.01, 1)), Admission(0, 0))
    hub.engine.snapshot = MeshSnapshot.of(
        map(parse_object, [gateway("a", 9000), gateway("bb", 9000), gateway("ccc", 9001)])
    )
    before = counted("edge/bb")
    for _ in range(3):
        stream, _ = hub.connect(parse_node(NODE), delta, "")
        hub.target(stream)
    assert counted("edge/bb") == before + 1
    assert counted("edge/a") == counted("edge/ccc") == 0


SIDECAR = {"id": "sidecar~10.1.0.31~web-1.shop~shop.svc.cluster.local", "metadata": {"NAMESPACE": "shop"}}


def routes(name: str, *hosts: str) -> dict[str, object]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": f"2026-01-01T00:00:0{len(name)}Z"},
        "spec": {"hosts": list(hosts), "http": [{"route": [{"destination": {"host": hosts[0]}}]}]},
    }


def test_virtual_services_that_another_one_comes_before_are_counted_while_somebody_has_them() -> None:
    hub = Hub(Engine(compile_resources, affects, Debounce(0.01, 1)), Admission(0, 0))
    hub.engine.snapshot = MeshSnapshot.of(
        map(parse_object, [routes("a", "x.example", "y.example"), routes("bb", "y.example", "x.example")])
    )

    def shadowed() -> float | None:
        return metrics.REGISTRY.get_sample_value("pilot_vservice_dup_domain")

    first, _ = hub.connect(parse_node(SIDECAR), delta, "")
    second, _ = hub.connect(parse_node({**SIDECAR, "metadata": {"NAMESPACE": "bank"}}), delta, "")
    for stream in (first, second, first):
        hub.target(stream)
        assert shadowed() == 1, "an object, not a host or a proxy"
    hub.disconnect(first)
    assert shadowed() == 1
    hub.disconnect(second)
    assert shadowed() == 0
