"""Which addresses are this workload's: where nobody says them, those that packets to elsewhere would leave from."""

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


def is_of_this_machine(address: str) -> bool:
    """Whether an interface of this network namespace has it: nobody can be bound to any other address. Nothing is sent.

    Where the kernel lets everybody bind anything (`ip_nonlocal_bind`) it cannot be told, and nothing is.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return _can_be_bound(family, address) and not _can_be_bound(family, dict(_ELSEWHERE)[family])


def _can_be_bound(family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
