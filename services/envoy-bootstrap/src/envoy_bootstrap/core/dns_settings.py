"""Whether and where the agent answers DNS. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from envoy_bootstrap.core.addresses import HostPort

PORT = 15053
RESOLV_CONF = "/etc/resolv.conf"


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """`listen` is empty where names are not the agent's business. `upstream` takes the place of the name servers of
    `resolv_conf`."""

    listen: tuple[HostPort, ...] = ()
    resolv_conf: str = RESOLV_CONF
    upstream: tuple[HostPort, ...] = ()


def dns_settings(
    environment: Mapping[str, str], captures: bool, addresses: Sequence[str], shares_machine: bool
) -> DnsSettings:
    """By Istio's ISTIO_META_DNS_CAPTURE and DNS_PROXY_ADDR; INVALID for addresses that are none.

    Loopback, in the families that the workload has; the workload's own address where others share the machine.
    """
    if not captures:
        return DnsSettings()
    if given := environment.get("DNS_PROXY_ADDR"):
        listen = [HostPort.parse(given.replace("localhost", "127.0.0.1"))]
    elif shares_machine:
        listen = [HostPort(addresses[0], PORT)]
    else:
        listen = [HostPort(host, PORT) for host in sorted({"::1" if ":" in one else "127.0.0.1" for one in addresses})]
    upstream = environment.get("MESHCORE_DNS_UPSTREAM", "")
    return DnsSettings(
        listen=tuple(listen),
        resolv_conf=environment.get("MESHCORE_RESOLV_CONF") or RESOLV_CONF,
        upstream=tuple(HostPort.parse(part) for part in upstream.split(",") if part),
    )
