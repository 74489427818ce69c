"""What is proven decides who a node may say it is."""

from dataclasses import replace

import pytest
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from pilot.core.authorization import proven
from pilot.core.node import parse_node

NODE = {
    "id": "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "reviews"},
}


def test_namespace_and_service_account_of_the_certificate_pass():
    proxy = parse_node(NODE)
    identity = SpiffeId("cluster.local", "shop", "reviews")
    assert proxy.identity == ""
    assert proven(proxy, identity, "cluster.local") == replace(proxy, identity=str(identity))


def test_a_node_without_service_account_has_its_certificates():
    node = {**NODE, "metadata": {"NAMESPACE": "shop"}}
    proxy = proven(parse_node(node), SpiffeId("cluster.local", "shop", "ratings"), "cluster.local")
    assert proxy.service_account == "ratings"


def test_an_identity_of_an_alias_is_as_good_and_stays_as_it_is():
    identity = SpiffeId("old.example", "shop", "reviews")
    assert proven(parse_node(NODE), identity, "cluster.local", ("old.example",)).identity == str(identity)


@pytest.mark.parametrize(
    "identity",
    [
        SpiffeId("cluster.local", "bank", "reviews"),
        SpiffeId("cluster.local", "shop", "admin"),
        SpiffeId("elsewhere.example", "shop", "reviews"),
    ],
)
def test_anybody_else_is_denied(identity):
    with pytest.raises(MeshError) as denied:
        proven(parse_node(NODE), identity, "cluster.local", ("old.example",))
    assert denied.value.code is ErrorCode.PERMISSION_DENIED
