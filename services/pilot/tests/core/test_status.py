"""Debug pages in Istio's shapes."""

from meshcore.xds import delta
from meshcore.xds.request import Rejection, Request
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE
from pilot.core import status
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.node import parse_node

NODE = {
    "id": "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "ISTIO_VERSION": "1.28.0", "CLUSTER_ID": "Kubernetes"},
}


def test_nonces_and_refusals_are_shown():
    engine = Engine(lambda snapshot, one: ResourceSet.of([]), lambda *_: True, Debounce(0.1, 10))
    stream = engine.connect(parse_node(NODE), delta, "127.0.0.1:9", 0.0)
    target = ResourceSet.of([PackedResource.pack(CLUSTER_TYPE, "c", b"body")])
    stream.session.resources_changed(target, 3, 0.0)
    [sent] = stream.session.request_received(Request(type_url=CLUSTER_TYPE), 0.0)
    row = status.sync_row(stream)
    assert (row["proxy"], row["cluster_id"], row["istio_version"]) == ("a.shop", "Kubernetes", "1.28.0")
    assert (row["cluster_sent"], row["cluster_acked"], row["synced"]) == (sent.nonce, "", False)
    refusal = Request(type_url=CLUSTER_TYPE, nonce=sent.nonce, rejection=Rejection(3, "bad"))
    stream.session.request_received(refusal, 0.0)
    shown = status.sync_rows(engine)[0]["resources"]["cds"]
    assert (shown["lastError"], shown["rejected"]) == ("bad", ["c"])
    assert status.proxy_row(stream)["rejected"] == ["cds"]
    assert (status.sync_row(stream)["synced"], status.proxy_row(stream)["synced"]) == (False, False)
    assert status.connection_row(stream)["connectionId"] == "a.shop-1"
    assert status.registry_rows(engine) == []
