"""The flags and variables of istio-iptables, with Istio's names, letters and defaults (Istio's pilot-agent reference).

A flag's variable is its name in capitals; some have another beside it. A flag that is given wins over its variable.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from meshcore.errors import ErrorCode, MeshError, Violation

from envoy_bootstrap.core.capture.texts import Kind, expected


@dataclass(frozen=True, slots=True)
class Flag:
    """One setting: its long name, its letter, what it holds, and what it is when nobody says anything."""

    name: str
    letter: str
    kind: Kind
    default: str
    help: str
    variable: str = ""
    """A second variable, read where the first is not set."""
    is_variable_only: bool = False

    @property
    def field(self) -> str:
        """Its name in tables."""
        return self.name.lower().replace("-", "_")

    def spoken(self, environment: Mapping[str, str]) -> tuple[str, str] | None:
        """The variable that says something, and what."""
        names = (self.name,) if self.is_variable_only else (self.name.upper().replace("-", "_"), self.variable)
        return next(((name, environment[name]) for name in names if environment.get(name)), None)


_B, _T = Kind.BOOLEAN, Kind.TEXT
FLAGS = (
    Flag("envoy-port", "p", Kind.PORT, "15001", "Port of the proxy for what goes out."),
    Flag("inbound-capture-port", "z", Kind.PORT, "15006", "Port of the proxy for what comes in."),
    Flag("inbound-tunnel-port", "e", Kind.PORT, "15008", "Port of the tunnel, which is never captured."),
    Flag("proxy-uid", "u", Kind.OWNERS, "", "Users whose traffic is not captured; that of ENVOY_USER, or 1337."),
    Flag("proxy-gid", "g", Kind.OWNERS, "", "Groups whose traffic is not captured; the same as --proxy-uid."),
    Flag("istio-inbound-interception-mode", "m", Kind.MODE, "", "How what comes in is captured: REDIRECT or TPROXY."),
    Flag("istio-inbound-ports", "b", Kind.PORTS_OR_ALL, "", "Ports whose incoming traffic is captured; * is all."),
    Flag("istio-local-exclude-ports", "d", Kind.PORTS, "", "Incoming ports that are not captured, with -b '*'."),
    Flag("istio-exclude-interfaces", "c", Kind.INTERFACES, "", "Interfaces of which nothing is captured."),
    Flag("istio-service-cidr", "i", Kind.CIDRS_OR_ALL, "", "Where captured traffic goes to; * is everywhere."),
    Flag("istio-service-exclude-cidr", "x", Kind.CIDRS, "", "Where traffic goes to that is not captured."),
    Flag("istio-outbound-ports", "q", Kind.PORTS, "", "Outgoing ports that are captured wherever they lead."),
    Flag("istio-local-outbound-ports-exclude", "o", Kind.PORTS, "", "Outgoing ports that are not captured."),
    Flag("kube-virt-interfaces", "k", Kind.INTERFACES, "", "Virtual interfaces, from which traffic goes out."),
    Flag("istio-inbound-tproxy-mark", "t", Kind.NUMBER, "1337", "Mark of packets that TPROXY takes."),
    Flag("istio-inbound-tproxy-route-table", "r", Kind.NUMBER, "133", "Routing table of packets with that mark."),
    Flag("dry-run", "n", _B, "", "Print what would be applied and call nothing."),
    Flag("iptables-probe-port", "", Kind.PORT, "15002", "Port that the validation dials."),
    Flag("probe-timeout", "", Kind.DURATION, "5s", "How long the validation tries."),
    Flag("skip-rule-apply", "", _B, "", "Apply nothing."),
    Flag("run-validation", "", _B, "", "Dial through the rules; exit 126 when nothing is captured."),
    Flag("redirect-dns", "", _B, "", "Capture DNS for the agent.", variable="ISTIO_META_DNS_CAPTURE"),
    Flag("drop-invalid", "", _B, "", "Drop packets that belong to no connection.", variable="INVALID_DROP"),
    Flag("dual-stack", "", _B, "", "Both families of addresses.", variable="ISTIO_DUAL_STACK"),
    Flag("capture-all-dns", "", _B, "", "Capture DNS to every server, not only to those of resolv.conf."),
    Flag("network-namespace", "", _T, "", "File of the network namespace to apply in."),
    Flag("cni-mode", "", _B, "", "Run as a CNI plugin does."),
    Flag("reconcile", "", _B, "", "Replace rules that differ."),
    Flag("cleanup-only", "", _B, "", "Take the rules away and apply none."),
    Flag("force-apply", "", _B, "", "Apply again what is there."),
    Flag("native-nftables", "", _B, "", "Use nftables instead of iptables."),
    Flag("force-iptables-binary", "", Kind.BINARY, "", "The iptables to use: legacy or nft."),
    Flag("log_output_level", "", _T, "", "Taken and not used."),
    Flag("log_as_json", "", _B, "", "Taken and not used."),
    Flag("ISTIO_OUTBOUND_OWNER_GROUPS", "", Kind.OWNERS_OR_ALL, "*", "", is_variable_only=True),
    Flag("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "", Kind.OWNERS, "", "", is_variable_only=True),
    Flag("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "", Kind.LOOPBACK, "127.0.0.1/32", "", is_variable_only=True),
    Flag("ENVOY_USER", "", Kind.OWNERS, "istio-proxy", "", is_variable_only=True),
)
_NO_VARIABLE = frozenset(("envoy-port", "log_output_level", "log_as_json"))


def read_flags(given: Mapping[str, str], environment: Mapping[str, str]) -> Mapping[str, str]:
    """What every flag says, by its field; `given` has the long names of flags of the command line.

    INVALID with every violation, each by the flag or the variable that is wrong.
    """
    texts, violations = {}, []
    for flag in FLAGS:
        source, text = f"--{flag.name}", flag.default
        if flag.name in given:
            text = given[flag.name]
        elif flag.name not in _NO_VARIABLE and (spoken := flag.spoken(environment)):
            source, text = spoken
        if (text or flag.default) and (wanted := expected(flag.kind, text)) is not None:
            violations.append(Violation(source, f"{_shown(text)} is not valid", wanted))
        texts[flag.field] = text
    if violations:
        raise MeshError(ErrorCode.INVALID, "the capture of traffic is told something wrong", violations)
    return texts


def _shown(text: str) -> str:
    quoted = ascii(text)
    return quoted if len(quoted) <= 80 else f"{quoted[:77]}..."
