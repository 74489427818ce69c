"""The rules of capture, in Istio's order (Istio's istio-iptables); order counts within a chain. Pure.

ISTIO_INBOUND      what comes in, up to what is excluded
ISTIO_IN_REDIRECT  to the proxy's port for what comes in
ISTIO_OUTPUT       what goes out, up to what is excluded
ISTIO_REDIRECT     to the proxy's port for what goes out
"""

from collections.abc import Iterator
from dataclasses import dataclass

from envoy_bootstrap.core.capture.config import CaptureConfig

OUTBOUND_MARK = "1338"
"""Mark of what the proxy says to its own workload's address: TPROXY takes it in as if it came from outside."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: appended to its chain, or inserted at a position (from 1)."""

    table: str
    chain: str
    words: tuple[str, ...]
    position: int | None = None

    @property
    def line(self) -> str:
        """As iptables-restore reads it."""
        place = f"-A {self.chain}" if self.position is None else f"-I {self.chain} {self.position}"
        return " ".join((place, *self.words))

    @property
    def target(self) -> str:
        """Where it jumps to."""
        return self.words[self.words.index("-j") + 1]


@dataclass(frozen=True, slots=True)
class Family:
    """A family of addresses: the application's own loopback, the proxy's source towards it, bits of an address."""

    version: int
    loopback: str
    proxy_source: str
    bits: int


def family(config: CaptureConfig, version: int) -> Family:
    """The family in this configuration."""
    return Family(4, config.loopback, "127.0.0.6/32", 32) if version == 4 else Family(6, "::1/128", "::6/128", 128)


def append(table: str, chain: str, text: str) -> Rule:
    """A rule at the end of its chain; the text's words have no blanks in them."""
    return Rule(table, chain, tuple(text.split()))


def capture_rules(config: CaptureConfig, version: int) -> tuple[Rule, ...]:
    """All rules of one family (4 or 6)."""
    own = family(config, version)
    return (
        *_excluded_interfaces(config),
        *(Rule("nat", "PREROUTING", ("-i", name, "-j", "RETURN"), 1) for name in config.virtual_interfaces),
        *_dropped(config),
        append("nat", "ISTIO_INBOUND", f"-p tcp --dport {config.tunnel_port} -j RETURN"),
        append("nat", "ISTIO_REDIRECT", f"-p tcp -j REDIRECT --to-ports {config.outbound_port}"),
        append("nat", "ISTIO_IN_REDIRECT", f"-p tcp -j REDIRECT --to-ports {config.inbound_port}"),
        *_inbound(config, own),
        *_outbound(config, own),
        *(_transparent(config, own) if config.is_tproxy else ()),
    )


def _excluded_interfaces(config: CaptureConfig) -> Iterator[Rule]:
    for table in ("nat", "mangle") if config.is_tproxy else ("nat",):
        for name in config.excluded_interfaces:
            yield append(table, "PREROUTING", f"-i {name} -j RETURN")
            yield append(table, "OUTPUT", f"-o {name} -j RETURN")


def _dropped(config: CaptureConfig) -> Iterator[Rule]:
    if config.drops_invalid:
        yield append("mangle", "PREROUTING", "-m conntrack --ctstate INVALID -j ISTIO_DROP")
        yield append("mangle", "ISTIO_DROP", "-j DROP")


def _inbound(config: CaptureConfig, own: Family) -> Iterator[Rule]:
    if not config.captures_inbound:
        return
    table = "mangle" if config.is_tproxy else "nat"
    if config.is_tproxy:
        yield append("mangle", "ISTIO_DIVERT", f"-j MARK --set-mark {config.tproxy_mark}")
        yield append("mangle", "ISTIO_DIVERT", "-j ACCEPT")
        to_proxy = f"-j TPROXY --tproxy-mark {config.tproxy_mark}/0xffffffff --on-port {config.inbound_port}"
        yield append("mangle", "ISTIO_TPROXY", f"! -d {own.loopback} -p tcp {to_proxy}")
    yield append(table, "PREROUTING", "-p tcp -j ISTIO_INBOUND")
    if config.captures_all_inbound:
        for port in config.excluded_inbound_ports:
            yield append(table, "ISTIO_INBOUND", f"-p tcp --dport {port} -j RETURN")
        captured = ["-p tcp"]
    else:
        captured = [f"-p tcp --dport {port}" for port in config.inbound_ports]
    for what in captured:
        if config.is_tproxy:
            yield append(table, "ISTIO_INBOUND", f"{what} -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT")
            yield append(table, "ISTIO_INBOUND", f"{what} -j ISTIO_TPROXY")
        else:
            yield append(table, "ISTIO_INBOUND", f"{what} -j ISTIO_IN_REDIRECT")


def _outbound(config: CaptureConfig, own: Family) -> Iterator[Rule]:
    yield append("nat", "OUTPUT", "-j ISTIO_OUTPUT")
    for port in config.excluded_outbound_ports:
        yield append("nat", "ISTIO_OUTPUT", f"-p tcp --dport {port} -j RETURN")
        yield append("nat", "ISTIO_OUTPUT", f"-p udp --dport {port} -j RETURN")
    # the proxy's connections to its own application come from here
    yield append("nat", "ISTIO_OUTPUT", f"-o lo -s {own.proxy_source} -j RETURN")
    for uid in config.proxy_uids:
        yield from _proxy_owner(config, own, f"--uid-owner {uid}", leaves_dns=config.captures_dns)
    for gid in config.proxy_gids:
        yield from _proxy_owner(config, own, f"--gid-owner {gid}", leaves_dns=False)
    yield from _owner_groups(config)
    if config.captures_dns:
        yield from _dns(config, own)
    yield append("nat", "ISTIO_OUTPUT", f"-d {own.loopback} -j RETURN")
    for block in config.excluded_outbound.blocks[own.version]:
        yield append("nat", "ISTIO_OUTPUT", f"-d {block} -j RETURN")
    for port in config.outbound_ports:
        yield append("nat", "ISTIO_OUTPUT", f"-p tcp --dport {port} -j ISTIO_REDIRECT")
    everywhere = [""] if config.outbound.everywhere else []
    for where in everywhere or [f"-d {block} " for block in config.outbound.blocks[own.version]]:
        for name in config.virtual_interfaces:
            words = f"-i {name} {where}-j ISTIO_REDIRECT".split()
            yield Rule("nat", "PREROUTING", tuple(words), 1)
        yield append("nat", "ISTIO_OUTPUT", f"{where}-j ISTIO_REDIRECT")


def _proxy_owner(config: CaptureConfig, own: Family, owner: str, *, leaves_dns: bool) -> Iterator[Rule]:
    """What the proxy itself says is not captured, but for calls of the application to itself through its service.

    With DNS captured, what goes to port 53 is left to the rules of DNS: the server may be on this machine.
    """
    others = "-m multiport ! --dports 53," if leaves_dns else "! --dport "
    again = f"-o lo ! -d {own.loopback} -p tcp {others}{config.tunnel_port} -m owner {owner}"
    yield append("nat", "ISTIO_OUTPUT", f"{again} -j ISTIO_IN_REDIRECT")
    if not config.outbound.has_loopback:
        not_dns = "-p tcp ! --dport 53 " if config.captures_dns else ""
        yield append("nat", "ISTIO_OUTPUT", f"-o lo {not_dns}-m owner ! {owner} -j RETURN")
    yield append("nat", "ISTIO_OUTPUT", f"-m owner {owner} -j RETURN")


def _owner_groups(config: CaptureConfig) -> Iterator[Rule]:
    if config.owner_groups is None:
        for group in config.excluded_owner_groups:
            yield append("nat", "ISTIO_OUTPUT", f"-m owner --gid-owner {group} -j RETURN")
    else:
        none_of = "".join(f"-m owner ! --gid-owner {group} " for group in config.owner_groups)
        yield append("nat", "ISTIO_OUTPUT", f"{none_of}-j RETURN")


def _dns(config: CaptureConfig, own: Family) -> Iterator[Rule]:
    """To the agent's port; queries and answers are told apart by zones, or the kernel mixes up their connections."""
    servers = config.dns_servers.get(own.version, ())
    to, of = (
        [""] if config.captures_all_dns else [f" -{option} {server}/{own.bits}" for server in servers]
        for option in ("d", "s")
    )
    yield append("raw", "OUTPUT", "-j ISTIO_OUTPUT_DNS")
    if to:
        yield append("nat", "ISTIO_OUTPUT", "-j ISTIO_OUTPUT_DNS")
    for protocol, port in (("tcp", "--to-ports 15053"), ("udp", "--to-port 15053")):
        for server in to:
            yield append("nat", "ISTIO_OUTPUT_DNS", f"-p {protocol} --dport 53{server} -j REDIRECT {port}")
    owners = [f"--uid-owner {uid}" for uid in config.proxy_uids] + [f"--gid-owner {gid}" for gid in config.proxy_gids]
    for owner in owners:
        yield append("raw", "ISTIO_OUTPUT_DNS", f"-p udp --dport 53 -m owner {owner} -j CT --zone 1")
        yield append("raw", "ISTIO_OUTPUT_DNS", f"-p udp --sport 15053 -m owner {owner} -j CT --zone 2")
    if to:
        yield append("raw", "PREROUTING", "-j ISTIO_INBOUND")
    for server, source in zip(to, of, strict=True):
        yield append("raw", "ISTIO_OUTPUT_DNS", f"-p udp --dport 53{server} -j CT --zone 2")
        yield append("raw", "ISTIO_INBOUND", f"-p udp --sport 53{source} -j CT --zone 1")


def _transparent(config: CaptureConfig, own: Family) -> Iterator[Rule]:
    """Marks by which TPROXY knows what it took, what goes on to the application, and what comes back."""
    mark = config.tproxy_mark
    # Envoy marks what it sends with the caller's address; answers to it carry the mark of their connection
    yield append("mangle", "PREROUTING", f"-p tcp -m mark --mark {mark} -j CONNMARK --save-mark")
    yield append("mangle", "OUTPUT", f"-p tcp -o lo -m mark --mark {mark} -j RETURN")
    for owner in (
        *(f"uid-owner {uid}" for uid in config.proxy_uids),
        *(f"gid-owner {gid}" for gid in config.proxy_gids),
    ):
        of_proxy = f"! -d {own.loopback} -p tcp -o lo -m owner --{owner}"
        yield append("mangle", "OUTPUT", f"{of_proxy} -j MARK --set-mark {OUTBOUND_MARK}")
    yield append("mangle", "OUTPUT", f"-p tcp -m connmark --mark {mark} -j CONNMARK --restore-mark")
    for position, what in enumerate(
        (f"-m mark --mark {mark}", f"-s {own.proxy_source} -i lo", f"-i lo -m mark ! --mark {OUTBOUND_MARK}"), 1
    ):
        yield Rule("mangle", "ISTIO_INBOUND", tuple(f"-p tcp {what} -j RETURN".split()), position)
