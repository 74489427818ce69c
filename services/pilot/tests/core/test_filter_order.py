"""HTTP filters stand in Istio's order, whoever added them first."""

import random

from meshcore.model import MeshConfig
from meshcore.xds import registry
from pilot.core.compiler.filter_order import HttpFilter, HttpSlot, ordered
from pilot.core.compiler.http_connection_manager import Outbound, outbound_manager


def test_the_order_is_total_and_ends_with_the_router():
    placed = [(slot, HttpFilter(name=slot.name.lower())) for slot in HttpSlot]
    random.Random(1).shuffle(placed)
    names = [item.name for item in ordered(placed)]
    assert names == [slot.name.lower() for slot in sorted(HttpSlot)]
    assert names[-1] == "router"


def test_filters_of_one_slot_are_ordered_by_name():
    placed = [(HttpSlot.EXTENSION, HttpFilter(name=name)) for name in ("b", "c", "a")]
    assert [item.name for item in ordered(placed)] == ["a", "b", "c"]


def test_a_sniffed_grpc_web_port_has_every_filter_in_its_place():
    made = outbound_manager(Outbound("outbound_x;", "x", sniffs=True, grpc_web=True), MeshConfig())
    names = [item.name.rpartition(".")[2] for item in registry.unpack(made.typed_config).http_filters]
    assert names == ["grpc_web", "grpc_stats", "set_filter_state", "fault", "cors", "router"]
