"""Who may see which debug page over xDS."""

import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.status.v3 import csds_pb2
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE
from pilot.core.client_status import client_config
from pilot.core.config_dump import dump_message
from pilot.core.debug_question import DEBUG_TYPE, DUMP_TYPE, SYNC_TYPE, parse_debug, permitted

ROOT = SpiffeId("cluster.local", "istio-system", "default")
SHOP = SpiffeId("cluster.local", "shop", "front")


def asked(type_url, *names, identity=SHOP, guarded=True):
    return permitted(parse_debug(type_url, names), identity, "istio-system", guarded=guarded)


def test_the_root_namespace_sees_all_and_others_their_own():
    assert asked(SYNC_TYPE, identity=ROOT).parameters == {}
    assert asked(SYNC_TYPE).parameters == {"namespace": "shop"}
    assert asked(DUMP_TYPE, "a.shop").parameters == {"proxyID": "a.shop"}
    page = asked(DEBUG_TYPE, "edsz?proxyID=a.shop&pretty")
    assert (page.page, page.parameters) == ("edsz", {"proxyID": "a.shop", "pretty": ""})
    assert asked(DEBUG_TYPE, "registryz", identity=ROOT).page == "registryz"
    assert asked(DEBUG_TYPE, "registryz", guarded=False).page == "registryz"


@pytest.mark.parametrize(
    ("type_url", "name"),
    [
        (DUMP_TYPE, "a.bank"),
        (DUMP_TYPE, "a.bank.workshop"),
        (DEBUG_TYPE, "config_dump?proxyID=a.bank"),
        (DEBUG_TYPE, "config_dump?proxyID=a.shop&proxyID=a.bank"),
        (DEBUG_TYPE, "config_dump"),
        (DEBUG_TYPE, "syncz"),
        (DEBUG_TYPE, "adsz"),
        (DEBUG_TYPE, "/registryz"),
    ],
)
def test_what_is_of_others_is_denied(type_url, name):
    with pytest.raises(MeshError) as denied:
        asked(type_url, name)
    assert denied.value.code is ErrorCode.PERMISSION_DENIED
    with pytest.raises(MeshError) as unknown:
        asked(type_url, name, identity=None, guarded=False)
    assert unknown.value.code is ErrorCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("type_url", "names"),
    [
        (DEBUG_TYPE, ()),
        (DEBUG_TYPE, ("syncz", "adsz")),
        (DUMP_TYPE, ()),
        (DEBUG_TYPE, ("syncz?" + "a=b&" * 100,)),
        (DEBUG_TYPE, ("//[",)),
        ("istio.io/debug/other", ("a",)),
        ("istio.io/debugging", ("a",)),
    ],
)
def test_a_question_that_asks_for_nothing_or_too_much_is_invalid(type_url, names):
    with pytest.raises(MeshError) as invalid:
        parse_debug(type_url, names)
    assert invalid.value.code is ErrorCode.INVALID


def test_a_dump_holds_no_secret():
    secret = secret_pb2.Secret(name="kubernetes://cert")
    secret.tls_certificate.private_key.inline_string = "the-private-key"
    listener = listener_pb2.Listener(name="inbound")
    found = [PackedResource.pack(SECRET_TYPE, secret.name, secret), PackedResource.pack(LISTENER_TYPE, "l", listener)]
    dump = dump_message(ResourceSet.of(found)).SerializeToString()
    assert b"inbound" in dump
    assert b"the-private-key" not in dump
    assert b"kubernetes://cert" not in dump


def test_a_row_says_of_each_type_how_far_the_proxy_is():
    def of_type(sent, acked, error=""):
        return {"sent": sent, "acked": acked, "lastError": error}

    row = {"proxy": "a.shop", "cluster_id": "c", "istio_version": "1.28.0"}
    row["resources"] = {"cds": of_type("2", "2"), "lds": of_type("3", "2"), "rds": of_type("4", "4", "no")}
    made = client_config(row)
    words = {one.type_url: csds_pb2.ConfigStatus.Name(one.config_status) for one in made.generic_xds_configs}
    assert words[CLUSTER_TYPE] == "SYNCED"
    assert words[LISTENER_TYPE] == "STALE"
    assert words[ROUTE_TYPE] == "ERROR"
    assert words[EXTENSION_CONFIG_TYPE] == "NOT_SENT"
    old = {one.WhichOneof("per_xds_config"): csds_pb2.ConfigStatus.Name(one.status) for one in made.xds_config}
    assert old["cluster_config"] == "SYNCED"
    assert old["endpoint_config"] == "NOT_SENT"
    assert made.node.metadata["NAMESPACE"] == "shop"
