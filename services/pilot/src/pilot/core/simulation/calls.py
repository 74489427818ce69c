"""What is asked of the simulator, and what it answers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HTTP1 = ("http/1.1",)
ISTIO = ("istio",)


@dataclass(frozen=True)
class Call:
    """One request (or connection, when `is_http` is False) that leaves a workload.

    `address` is what the client dials when traffic is captured; empty means that it goes through the HTTP proxy, if
    there is one, else to an address that only the port tells apart. `tls` is the caller's own TLS, with `sni` and
    `alpn`. At a gateway it is a request from outside to the port that is bound.
    """

    host: str
    port: int = 80
    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    is_http: bool = True
    tls: bool = False
    sni: str = ""
    alpn: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What filters before the router find out, by filter: claims of a token."""


@dataclass(frozen=True)
class Arrival:
    """One connection that arrives at a workload's port; `alpn` is what the client offers in its TLS hello."""

    port: int
    tls: bool = False
    alpn: tuple[str, ...] = ()
    is_http: bool = True


@dataclass(frozen=True)
class Outcome:
    """What becomes of a call.

    `shares` is the percentage of each cluster; empty when the proxy answers by itself (`status`, and `location` where
    it redirects) or refuses the connection (`refused`). `endpoints` are `address:port` by cluster, healthy ones only.
    """

    listener: str = ""
    filter_chain: str = ""
    virtual_host: str = ""
    route: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    endpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    status: int = 0
    location: str = ""
    refused: bool = False
    terminates_mtls: bool = False
    message: Any = None
    """The matched route as a protobuf message, for what has no field of its own here."""
    route_config: str = ""
    path: str = ""
    """Path and query as routes see them, normalised where the proxy does that."""
    chain_message: Any = field(default=None, repr=False, compare=False)
    host_message: Any = field(default=None, repr=False, compare=False)
    routes_message: Any = field(default=None, repr=False, compare=False)
    """The filter chain, the virtual host and the route configuration."""
