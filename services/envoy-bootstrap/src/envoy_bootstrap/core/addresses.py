"""Where things listen: an IP address or host name with a port, or a Unix socket. Pure."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshcore.errors import ErrorCode, MeshError

MAX_SOCKET_PATH = 107
"""Bytes of a Unix socket's path: `sun_path` holds 108 with the closing zero (unix(7))."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A TCP address. `str()` is `host:port`, with brackets around an IPv6 address."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Read `host:port` or `[v6]:port`; INVALID for anything else."""
        host, colon, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise MeshError(ErrorCode.INVALID, f"{text!r} is not an address of the form host:port")
        return cls(host, int(port))

    @property
    def is_ip(self) -> bool:
        """True when no name has to be resolved."""
        return is_ip(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def to_envoy(self) -> dict[str, Any]:
        """Envoy's `core.v3.Address`."""
        return {"socket_address": {"protocol": "TCP", "address": self.host, "port_value": self.port}}


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A Unix socket that Envoy connects to, or binds with this mode when one is given."""

    path: str
    mode: int | None = None

    def __post_init__(self) -> None:
        length = len(self.path.encode())
        if length > MAX_SOCKET_PATH:
            raise MeshError(
                ErrorCode.INVALID,
                f"the socket path {self.path!r} has {length} bytes, a Unix socket allows {MAX_SOCKET_PATH}: "
                "choose a shorter STATE_DIR",
            )

    def to_envoy(self) -> dict[str, Any]:
        """Envoy's `core.v3.Address`."""
        pipe: dict[str, Any] = {"path": self.path}
        if self.mode is not None:
            pipe["mode"] = self.mode
        return {"pipe": pipe}


def is_ip(text: str) -> bool:
    """True for an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def typed(type_name: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The JSON of a `google.protobuf.Any` that holds a message of this full name."""
    return {"@type": f"type.googleapis.com/{type_name}", **(fields or {})}
