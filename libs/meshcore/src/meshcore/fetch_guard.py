"""Which addresses may be dialled for a URL that somebody wrote into config: never what only this machine should
reach (server-side request forgery). Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
_NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local, and where most clouds keep the credentials of a machine
        "100.100.100.200/32",  # Alibaba Cloud's metadata
        "168.63.129.16/32",  # Azure's wire server
        "192.0.0.192/32",  # Oracle Cloud's metadata
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fe80::/10",
        "fd00:ec2::254/128",  # Amazon's metadata
        "fd20:ce::254/128",  # Google's metadata
        "ff00::/8",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_FOUR_BYTES = 0xFFFFFFFF


def parse_networks(text: str) -> tuple[Network, ...]:
    """`10.0.0.0/8,fd00::/8`; ValueError names the part that is no network."""
    found = []
    for part in filter(None, (item.strip() for item in text.split(","))):
        try:
            found.append(ip_network(part, strict=False))
        except ValueError:
            raise ValueError(f"{part!r} is no network in CIDR form") from None
    return tuple(found)


def is_forbidden(address: str, more: Iterable[Network] = ()) -> bool:
    """Whether it must not be dialled: link-local and metadata addresses, what is no host's at all, and `more`. An IPv4
    address that an IPv6 one stands for counts as itself."""
    found = _plain(ip_address(address.partition("%")[0]))
    return any(found.version == network.version and found in network for network in (*_NEVER, *more))


def _plain(address: Address) -> Address:
    if not isinstance(address, IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    return IPv4Address(int(address) & _FOUR_BYTES) if address in _NAT64 else address
