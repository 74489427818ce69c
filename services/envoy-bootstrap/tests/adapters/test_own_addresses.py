"""Addresses that nobody says."""

import ipaddress
import socket

from envoy_bootstrap.adapters.own_addresses import is_of_this_machine, own_addresses


def test_the_addresses_are_of_this_machine_and_not_of_loopback():
    found = own_addresses()
    for address in found:
        assert not ipaddress.ip_address(address).is_loopback
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as here:
            here.bind((address, 0))
    assert len({":" in address for address in found}) == len(found)


def test_an_address_is_of_this_machine_when_an_interface_has_it():
    assert all(map(is_of_this_machine, ("127.0.0.1", "127.9.8.7", *own_addresses())))
    assert not any(map(is_of_this_machine, ("192.0.2.1", "2001:db8::1", "fe80::1")))
