"""The families of IP addresses that a proxy has, and addresses by family. Pure."""

from collections.abc import Iterable
from enum import StrEnum
from ipaddress import IPv4Address, ip_address, ip_interface


class IpFamilies(StrEnum):
    """Which families a proxy's own addresses are of."""

    V4 = "IPv4"
    V6 = "IPv6"
    BOTH = "both"

    def include(self, address: str) -> bool:
        """Whether it is an address, or a network, of these families, or none at all: a name may lead to any."""
        if self is IpFamilies.BOTH:
            return True
        return self is IpFamilies.V6 if is_v6(address) else self is IpFamilies.V4 or not is_v4(address)


def families_of(addresses: Iterable[str]) -> IpFamilies:
    """The families of a proxy's addresses; who says none is taken for IPv4 only (as Istio does)."""
    found = {is_v6(address) for address in addresses}  # they are nothing but addresses
    if len(found) == 2:
        return IpFamilies.BOTH
    return IpFamilies.V6 if found == {True} else IpFamilies.V4


def is_v4(text: str) -> bool:
    """Whether it is an address or a network of IPv4, where it may be a name or the path of a socket too."""
    return text.replace(".", "").replace("/", "").isdecimal()


def is_v6(text: str) -> bool:
    """The same for IPv6."""
    return ":" in text and not text.startswith("unix:")


def plain_address(text: str) -> str:
    """An IP address as everybody spells it (an IPv4 one inside of IPv6 as what it is); empty when it is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return ""
    inner = None if isinstance(found, IPv4Address) else found.ipv4_mapped
    return str(inner or found)


def plain_network(text: str) -> str:
    """The same for an address or a network with its length."""
    if "/" not in text:
        return plain_address(text)
    try:
        return str(ip_interface(text).with_prefixlen)
    except ValueError:
        return ""
