"""The capture rules of Istio's init step for REDIRECT, in its order, as input of `iptables-restore --noflush`.

Everything in and out but the proxy's own traffic, which is known by its user and group, and the ports that kubelet and
Prometheus speak to.
"""

from pods import PROXY

OUTBOUND, INBOUND, TUNNEL = 15001, 15006, 15008
EXCLUDED_INBOUND = (15090, 15021, 15020)


def redirect_rules() -> str:
    lines = ["*nat", *(f":{chain} - [0:0]" for chain in ("ISTIO_INBOUND", "ISTIO_REDIRECT", "ISTIO_IN_REDIRECT"))]
    lines += [
        ":ISTIO_OUTPUT - [0:0]",
        f"-A ISTIO_INBOUND -p tcp --dport {TUNNEL} -j RETURN",
        f"-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports {OUTBOUND}",
        f"-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports {INBOUND}",
        "-A PREROUTING -p tcp -j ISTIO_INBOUND",
        *(f"-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN" for port in EXCLUDED_INBOUND),
        "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT",
        "-A OUTPUT -j ISTIO_OUTPUT",
        # the proxy's connections to its application come from here
        "-A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN",
    ]
    for owner in (f"--uid-owner {PROXY}", f"--gid-owner {PROXY}"):
        lines += [
            # a call of the application to itself through its service goes in again
            f"-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport {TUNNEL} -m owner {owner} -j ISTIO_IN_REDIRECT",
            f"-A ISTIO_OUTPUT -o lo -m owner ! {owner} -j RETURN",
            f"-A ISTIO_OUTPUT -m owner {owner} -j RETURN",
        ]
    lines += ["-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN", "-A ISTIO_OUTPUT -j ISTIO_REDIRECT", "COMMIT", ""]
    return "\n".join(lines)
