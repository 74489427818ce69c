"""Proxies tell who they are in a header of one form, and names cannot break out of it."""

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.model import MeshConfig
from meshcore.xds import registry
from pilot.core.compiler.listener_sides import Side
from pilot.core.compiler.peer_names import own_names
from pilot.core.compiler.telemetry.peer_metadata import HEADER, introduce
from pilot.core.compiler.tls import downstream_socket
from pilot.core.proxy import ProxyClass, ProxyType

Manager = http_connection_manager_pb2.HttpConnectionManager


def introduced(side, workload="web-1", *, mutual=False):
    chain = listener_components_pb2.FilterChain()
    if mutual:
        chain.transport_socket.CopyFrom(downstream_socket(MeshConfig()))
    one = ProxyClass(ProxyType.SIDECAR, "shop", labels=(("app", "web"),), metadata=(("WORKLOAD_NAME", workload),))
    manager = Manager(http_filters=[{"name": "envoy.filters.http.router"}])
    introduce(manager, chain, side, own_names(one))
    assert [item.name for item in manager.http_filters][-1] == "envoy.filters.http.router"
    return registry.unpack(manager.http_filters[0].typed_config)


def test_what_a_caller_says_of_itself_keeps_its_form_whatever_it_is_called():
    mutations = introduced(Side.CLIENT, "a;b'%c\n" + "x" * 100).mutations.request_mutations
    assert mutations[0].remove == mutations[1].append.header.key == HEADER
    assert f"'a_b__c_{'x' * 56};shop;web;latest;unknown;web;unknown'" in mutations[1].append.header.value


def test_only_callers_with_a_certificate_are_heard_and_the_header_goes_either_way():
    heard = introduced(Side.SERVER, mutual=True)
    assert isinstance(heard, header_to_metadata_pb2.Config)
    assert [rule.remove for rule in heard.request_rules][-1]
    assert introduced(Side.SERVER).mutations.request_mutations[0].remove == HEADER
    assert len(introduced(Side.SERVER).mutations.request_mutations) == 1
