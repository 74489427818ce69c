"""Which side of the workload's traffic a filter chain is on, and on which port. Pure."""

from enum import StrEnum
from typing import Any

from envoy.config.core.v3 import base_pb2


class Side(StrEnum):
    """Traffic that the workload (or a gateway) sends on is a client's, traffic to it a server's."""

    CLIENT = "client"
    SERVER = "server"


def listener_side(listener: Any) -> Side:
    """The side of all of its chains."""
    inbound = listener.traffic_direction == base_pb2.TrafficDirection.INBOUND
    return Side.SERVER if inbound else Side.CLIENT


def side_of(listener: Any, chain: Any) -> tuple[Side, int]:
    """The port is the destination that the chain matches, else the listener's own."""
    port = chain.filter_chain_match.destination_port.value or listener.address.socket_address.port_value
    return listener_side(listener), port
