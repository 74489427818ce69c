"""Addresses that nobody says."""

import ipaddress
import socket

from envoy_bootstrap.adapters.own_addresses import own_addresses


def test_the_addresses_are_of_this_machine_and_not_of_loopback():
    found = own_addresses()
    for address in found:
        assert not ipaddress.ip_address(address).is_loopback
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as here:
            here.bind((address, 0))
    assert len({":" in address for address in found}) == len(found)
