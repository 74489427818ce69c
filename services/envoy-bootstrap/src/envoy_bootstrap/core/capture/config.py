"""What is captured, and of whom: the settings of one workload, and the facts of the machine that they are for. Pure."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.core.capture.texts import duration, is_true, ranges, split

LARGEST_OWNER_GROUPS = 64
"""Groups to capture are one rule with a match for each: the kernel takes so many."""
DEFAULT_PROXY_ID = "1337"


@dataclass(frozen=True, slots=True)
class Ranges:
    """Where traffic goes to: everywhere, or the blocks of each family in the order of the list."""

    everywhere: bool = False
    blocks: Mapping[int, tuple[str, ...]] = field(default_factory=lambda: {4: (), 6: ()})
    has_loopback: bool = False

    @classmethod
    def of(cls, text: str) -> "Ranges":
        """The ranges of a list that is right."""
        if text == "*":
            return cls(everywhere=True)
        found = ranges(text)
        return cls(
            blocks={
                version: tuple(f"{item.ip}/{item.network.prefixlen}" for item in found if item.version == version)
                for version in (4, 6)
            },
            has_loopback=any(item.ip.is_loopback for item in found),
        )


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the workload's network namespace looks like.

    `addresses` are those of its interfaces that others can reach, `dns_servers` those of its resolv.conf, `envoy_uid`
    is the user that ENVOY_USER names, None where there is none.
    """

    addresses: tuple[str, ...] = ()
    dns_servers: tuple[str, ...] = ()
    envoy_uid: str | None = None


@dataclass(frozen=True, slots=True)
class CaptureConfig:
    """The settings of istio-iptables. Lists are in the order they were given in, which is that of the rules."""

    outbound_port: str
    inbound_port: str
    tunnel_port: str
    proxy_uids: tuple[str, ...]
    proxy_gids: tuple[str, ...]
    is_tproxy: bool
    captures_all_inbound: bool
    inbound_ports: tuple[str, ...]
    excluded_inbound_ports: tuple[str, ...]
    excluded_interfaces: tuple[str, ...]
    outbound: Ranges
    excluded_outbound: Ranges
    outbound_ports: tuple[str, ...]
    excluded_outbound_ports: tuple[str, ...]
    virtual_interfaces: tuple[str, ...]
    tproxy_mark: str
    tproxy_table: str
    owner_groups: tuple[str, ...] | None
    """The groups that are captured; None captures all but `excluded_owner_groups`."""
    excluded_owner_groups: tuple[str, ...]
    loopback: str
    drops_invalid: bool
    captures_dns: bool
    captures_all_dns: bool
    dns_servers: Mapping[int, tuple[str, ...]]
    families: tuple[int, ...]
    """4, or 4 and 6: IPv4 rules are harmless where there is no IPv4."""
    is_ipv6_only: bool
    probe_port: int
    probe_timeout: timedelta

    @property
    def captures_inbound(self) -> bool:
        """Whether anything that comes in is captured."""
        return self.captures_all_inbound or bool(self.inbound_ports)

    @property
    def needs_routes(self) -> bool:
        """Whether marked packets must be routed to this machine."""
        return self.is_tproxy and self.captures_inbound

    @property
    def probed_families(self) -> tuple[int, ...]:
        """The families that the workload has addresses of and that are captured."""
        return (6,) if self.is_ipv6_only else self.families


def build_config(texts: Mapping[str, str], facts: HostFacts) -> CaptureConfig:
    """The settings of `read_flags` on a machine; INVALID for groups that are too many."""
    uids = split(texts["proxy_uid"]) or (facts.envoy_uid or DEFAULT_PROXY_ID,)
    groups = texts["istio_outbound_owner_groups"]
    chosen = None if groups == "*" else split(groups)
    if chosen is not None and len(chosen) > LARGEST_OWNER_GROUPS:
        detail = (
            f"ISTIO_OUTBOUND_OWNER_GROUPS names {len(chosen)} groups; at most {LARGEST_OWNER_GROUPS} can be captured"
        )
        raise MeshError(ErrorCode.INVALID, detail)
    versions = versions_of(facts.addresses)
    has_both = versions == {4, 6} and is_true(texts["dual_stack"])
    captures_all_dns = is_true(texts["capture_all_dns"])
    servers = {} if captures_all_dns else servers_of(facts.dns_servers)
    return CaptureConfig(
        outbound_port=texts["envoy_port"],
        inbound_port=texts["inbound_capture_port"],
        tunnel_port=texts["inbound_tunnel_port"],
        proxy_uids=uids,
        proxy_gids=split(texts["proxy_gid"]) or uids,
        is_tproxy=texts["istio_inbound_interception_mode"] == "TPROXY",
        captures_all_inbound=texts["istio_inbound_ports"] == "*",
        inbound_ports=() if texts["istio_inbound_ports"] == "*" else split(texts["istio_inbound_ports"]),
        excluded_inbound_ports=split(texts["istio_local_exclude_ports"]),
        excluded_interfaces=split(texts["istio_exclude_interfaces"]),
        outbound=Ranges.of(texts["istio_service_cidr"]),
        excluded_outbound=Ranges.of(texts["istio_service_exclude_cidr"]),
        outbound_ports=split(texts["istio_outbound_ports"]),
        excluded_outbound_ports=split(texts["istio_local_outbound_ports_exclude"]),
        virtual_interfaces=split(texts["kube_virt_interfaces"]),
        tproxy_mark=texts["istio_inbound_tproxy_mark"],
        tproxy_table=texts["istio_inbound_tproxy_route_table"],
        owner_groups=chosen,
        excluded_owner_groups=split(texts["istio_outbound_owner_groups_exclude"]) if chosen is None else (),
        loopback=texts["istio_outbound_ipv4_loopback_cidr"],
        drops_invalid=is_true(texts["drop_invalid"]),
        # without any server there is nothing to capture
        captures_dns=is_true(texts["redirect_dns"]) and (captures_all_dns or any(servers.values())),
        captures_all_dns=captures_all_dns,
        dns_servers=servers,
        families=(4, 6) if has_both or versions == {6} else (4,),
        is_ipv6_only=versions == {6},
        probe_port=int(texts["iptables_probe_port"]),
        probe_timeout=duration(texts["probe_timeout"]),
    )


def versions_of(addresses: tuple[str, ...]) -> set[int]:
    """The families in which others can reach a workload."""
    return {
        address.version
        for address in map(ipaddress.ip_address, addresses)
        if not (address.is_loopback or address.is_link_local or address.is_multicast)
    }


def servers_of(servers: tuple[str, ...]) -> dict[int, tuple[str, ...]]:
    """The servers of each family; a zone (fe80::1%eth0) has no place in a rule and takes the server out."""
    found: dict[int, tuple[str, ...]] = {4: (), 6: ()}
    for text in servers:
        address = ipaddress.ip_address(text)
        if "%" not in text:
            found[address.version] += (str(address),)
    return found
