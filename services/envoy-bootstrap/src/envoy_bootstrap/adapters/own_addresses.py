"""The addresses of this workload where nobody says them: those that packets to elsewhere would leave from."""

import socket

_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses of documentation (RFC 5737, RFC 3849), one of each family: the routes to them are the default ones."""


def own_addresses() -> tuple[str, ...]:
    """The source address of the default route, IPv4 first; empty without one. Nothing is sent."""
    found = []
    for family, address in _ELSEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
                found.append(str(probe.getsockname()[0]))
        except OSError:  # no route of that family
            continue
    return tuple(address for address in found if address not in ("0.0.0.0", "::", "127.0.0.1", "::1"))
