"""What one client may have at once, and that others are not held to it."""

from dataclasses import replace

import pytest
from meshcore.errors import ErrorCode, MeshError
from meshcore.xds import delta
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.node import parse_node
from pilot.core.tenants import MOST_BURDEN, Tenants, client_of

TOO_MUCH = ErrorCode.RESOURCE_EXHAUSTED
SHOP, BANK = "spiffe://cluster.local/ns/shop/sa/a", "spiffe://cluster.local/ns/shop/sa/b"


class Clients:
    """Streams of an engine with their tenants; the kind of a proxy is its version."""

    def __init__(self, classes):
        self.engine = Engine(lambda snapshot, proxy_class: None, lambda *_: True, Debounce(0.1, 1))
        self.tenants = Tenants(classes=classes)
        self.count = 0

    def connect(self, version, identity=SHOP, address="10.0.0.1:5"):
        self.count += 1
        metadata = {"NAMESPACE": "shop", "ISTIO_VERSION": version}
        proxy = parse_node({"id": f"sidecar~10.0.0.1~p{self.count}.shop~shop.svc.cluster.local", "metadata": metadata})
        proxy = replace(proxy, identity=identity, service_account=identity[-1:])
        stream = self.engine.connect(proxy, delta, address, 0.0)
        try:
            self.tenants.join(stream, alone=self.engine.is_alone(stream))
        except MeshError as error:
            self.engine.disconnect(stream)
            return error.code
        return stream

    def disconnect(self, stream):
        self.tenants.leave(stream)
        self.engine.disconnect(stream)


def test_a_client_has_as_many_streams_as_it_may():
    tenants = Tenants(streams=2)
    with tenants.stream("a"), tenants.stream("a"), tenants.stream("b"):
        with pytest.raises(MeshError, match="PILOT_STREAMS_PER_IDENTITY") as caught, tenants.stream("a"):
            pass
        assert caught.value.code is TOO_MUCH
    with tenants.stream("a"):
        pass
    assert not tenants._open


def test_replicas_are_one_kind_and_kinds_are_bounded_for_each_identity():
    clients = Clients(classes=2)
    first = clients.connect("1.1.0")
    replicas = [clients.connect("1.1.0") for _ in range(50)]
    assert TOO_MUCH not in replicas
    assert clients.connect("1.2.0") is not TOO_MUCH
    assert clients.connect("1.3.0") is TOO_MUCH
    assert clients.connect("1.2.0") is not TOO_MUCH, "of a kind that it has it may have more"
    assert clients.connect("1.3.0", BANK) is not TOO_MUCH, "another identity is not held to it"
    assert clients.connect("1.3.0") is TOO_MUCH
    for stream in (first, *replicas):
        clients.disconnect(stream)
    assert clients.connect("1.4.0") is not TOO_MUCH


def test_who_proves_nothing_is_counted_where_it_calls_from():
    clients = Clients(classes=1)
    assert clients.connect("1.1.0", "", "127.0.0.1:5") is not TOO_MUCH
    assert clients.connect("1.2.0", "", "127.0.0.1:6") is TOO_MUCH
    assert clients.connect("1.2.0", "", "127.0.0.2:5") is not TOO_MUCH
    assert client_of("", "[::1]:5") == "[::1]"
    assert client_of(SHOP, "[::1]:5") == SHOP


def test_nothing_is_kept_of_who_has_gone():
    clients = Clients(classes=1)
    clients.disconnect(clients.connect("1.1.0"))
    assert not clients.tenants._joined
    assert clients.connect("1.2.0") is not TOO_MUCH


def test_what_is_kept_for_the_streams_of_a_client_is_bounded_together():
    clients = Clients(classes=0)
    one, two, other = clients.connect("1.1.0"), clients.connect("1.1.0"), clients.connect("1.1.0", BANK)
    clients.tenants.burdened(one, MOST_BURDEN // 2)
    clients.tenants.burdened(two, MOST_BURDEN // 2)
    with pytest.raises(MeshError) as caught:
        clients.tenants.burdened(one, MOST_BURDEN // 2 + 1)
    assert caught.value.code is TOO_MUCH
    clients.tenants.burdened(two, MOST_BURDEN // 2 - 10)
    clients.tenants.burdened(other, MOST_BURDEN)
    for stream in (one, two, other):
        clients.disconnect(stream)
    assert not clients.tenants._burdens
