"""The capture rules of Istio's init step, in its order, as input of `iptables-restore --noflush`.

Everything in and out but the proxy's own traffic, which is known by its user and group, and the ports that kubelet and
Prometheus speak to, or that are excluded for the test's sake. TPROXY is for what comes in; what goes out is redirected.
"""

from typing import NamedTuple

from pods import PROXY

OUTBOUND, INBOUND, TUNNEL = 15001, 15006, 15008
UNCAPTURED_INBOUND, UNCAPTURED_OUTBOUND = 9100, 9200
EXCLUDED_INBOUND = (15090, 15021, 15020, UNCAPTURED_INBOUND)
IN_MARK, OUT_MARK, ROUTES = 1337, 1338, "133"


class Family(NamedTuple):
    restore: str
    loopback: str
    proxy_source: str
    everywhere: tuple[str, ...]


IPV4 = Family("iptables-restore", "127.0.0.1/32", "127.0.0.6/32", ("ip", "0.0.0.0/0"))
IPV6 = Family("ip6tables-restore", "::1/128", "::6/128", ("ip", "-6", "::/0"))


def redirect_rules(family: Family = IPV4) -> str:
    return _nat(family, _redirected())


def tproxy_rules(family: Family = IPV4) -> str:
    return _mangle(family) + _nat(family, [])


def tproxy_routes(family: Family = IPV4) -> list[list[str]]:
    """What is marked is for this machine, whatever its address is."""
    *ip, everywhere = family.everywhere
    return [
        [*ip, "rule", "add", "fwmark", str(IN_MARK), "lookup", ROUTES],
        [*ip, "route", "add", "local", everywhere, "dev", "lo", "table", ROUTES],
    ]


def _redirected() -> list[str]:
    return [
        "-A PREROUTING -p tcp -j ISTIO_INBOUND",
        *(f"-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN" for port in EXCLUDED_INBOUND),
        "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT",
    ]


def _nat(family: Family, inbound: list[str]) -> str:
    lines = ["*nat", *(f":{chain} - [0:0]" for chain in ("ISTIO_INBOUND", "ISTIO_REDIRECT", "ISTIO_IN_REDIRECT"))]
    lines += [
        ":ISTIO_OUTPUT - [0:0]",
        f"-A ISTIO_INBOUND -p tcp --dport {TUNNEL} -j RETURN",
        f"-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports {OUTBOUND}",
        f"-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports {INBOUND}",
        *inbound,
        "-A OUTPUT -j ISTIO_OUTPUT",
        f"-A ISTIO_OUTPUT -p tcp --dport {UNCAPTURED_OUTBOUND} -j RETURN",
        # the proxy's connections to its application come from here
        f"-A ISTIO_OUTPUT -o lo -s {family.proxy_source} -j RETURN",
    ]
    for owner in (f"--uid-owner {PROXY}", f"--gid-owner {PROXY}"):
        again = f"! -d {family.loopback} -p tcp ! --dport {TUNNEL} -m owner {owner}"
        lines += [
            # a call of the application to itself through its service goes in again
            f"-A ISTIO_OUTPUT -o lo {again} -j ISTIO_IN_REDIRECT",
            f"-A ISTIO_OUTPUT -o lo -m owner ! {owner} -j RETURN",
            f"-A ISTIO_OUTPUT -m owner {owner} -j RETURN",
        ]
    lines += [f"-A ISTIO_OUTPUT -d {family.loopback} -j RETURN", "-A ISTIO_OUTPUT -j ISTIO_REDIRECT", "COMMIT", ""]
    return "\n".join(lines)


def _mangle(family: Family) -> str:
    lines = ["*mangle", *(f":{chain} - [0:0]" for chain in ("ISTIO_DIVERT", "ISTIO_TPROXY", "ISTIO_INBOUND"))]
    to_proxy = f"TPROXY --tproxy-mark {IN_MARK}/0xffffffff --on-port {INBOUND}"
    lines += [
        f"-A ISTIO_DIVERT -j MARK --set-mark {IN_MARK}",
        "-A ISTIO_DIVERT -j ACCEPT",
        f"-A ISTIO_TPROXY ! -d {family.loopback} -p tcp -j {to_proxy}",
        "-A PREROUTING -p tcp -j ISTIO_INBOUND",
        # answers to the proxy, and what it says to its application
        f"-A ISTIO_INBOUND -p tcp -m mark --mark {IN_MARK} -j RETURN",
        f"-A ISTIO_INBOUND -p tcp -s {family.proxy_source} -i lo -j RETURN",
        f"-A ISTIO_INBOUND -p tcp -i lo -m mark ! --mark {OUT_MARK} -j RETURN",
        *(f"-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN" for port in EXCLUDED_INBOUND),
        "-A ISTIO_INBOUND -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT",
        "-A ISTIO_INBOUND -p tcp -j ISTIO_TPROXY",
        f"-A PREROUTING -p tcp -m mark --mark {IN_MARK} -j CONNMARK --save-mark",
        f"-A OUTPUT -p tcp -o lo -m mark --mark {IN_MARK} -j RETURN",
        *(
            f"-A OUTPUT ! -d {family.loopback} -p tcp -o lo -m owner --{owner}-owner {PROXY} "
            f"-j MARK --set-mark {OUT_MARK}"
            for owner in ("uid", "gid")
        ),
        f"-A OUTPUT -p tcp -m connmark --mark {IN_MARK} -j CONNMARK --restore-mark",
        "COMMIT",
        "",
    ]
    return "\n".join(lines)
