"""resolv.conf(5), as far as the agent needs it. Pure."""

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resolvers:
    """`servers` are IP addresses, at most as many as are written; `search` the domains of the last such line."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> Resolvers:
    """Read the file's text; lines that are not understood are passed over, as the C library does."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver" and _is_address(words[1]):
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = tuple(words[1:])
    return Resolvers(tuple(dict.fromkeys(servers)), search)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
