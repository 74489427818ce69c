"""Who may take config: identities for MCP, networks for MCP over xDS (whose clients have no certificates). Pure."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote

from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class AllowedIdentities:
    """The access list of MCP."""

    identities: frozenset[SpiffeId]

    @classmethod
    def parse(cls, text: str) -> "AllowedIdentities":
        """Read a list with commas; INVALID for what is no identity."""
        return cls(frozenset(SpiffeId.parse(item.strip()) for item in text.split(",") if item.strip()))

    def check(self, peer: SpiffeId | None) -> None:
        """UNAUTHENTICATED without an identity, PERMISSION_DENIED for one that is not on the list."""
        if peer is None:
            raise MeshError(ErrorCode.UNAUTHENTICATED, "the client certificate has no identity")
        if peer not in self.identities:
            raise MeshError(ErrorCode.PERMISSION_DENIED, f"{peer} is not on the access list of MCP")


@dataclass(frozen=True, slots=True)
class AllowedNetworks:
    """From where MCP over xDS may be asked; none means that it is off."""

    networks: tuple[Network, ...]

    @classmethod
    def parse(cls, text: str) -> "AllowedNetworks":
        """Read CIDRs with commas; INVALID for what is none."""
        try:
            return cls(tuple(ipaddress.ip_network(item.strip()) for item in text.split(",") if item.strip()))
        except ValueError as error:
            raise MeshError(ErrorCode.INVALID, f"a network to allow is a CIDR: {error}") from None

    def check(self, peer: str) -> None:
        """PERMISSION_DENIED for a gRPC peer (`ipv4:10.0.0.1:4711`) that is in none of the networks."""
        address = _address(peer)
        if address is None or not any(address in network for network in self.networks):
            raise MeshError(ErrorCode.PERMISSION_DENIED, "config is not given to this address")


def _address(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    family, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    if family not in ("ipv4", "ipv6"):
        return None
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found
