"""Host names, addresses and label-like names, by Istio's rules.

A label is a DNS-1123 label that may be in upper case. The first label of a wildcard host may be `*` or begin with it.
"""

import ipaddress
import re

from galley.core.rules.report import Report

_LABEL = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")
_WILDCARD_LABEL = re.compile(r"\*|(?:\*|\*-)?[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")
_SNI_PREFIX = "outbound_"


def is_label(text: str) -> bool:
    """Whether it is a DNS label of at most 63 characters, in either case."""
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def domain_fault(text: str, *, wildcard: bool = False) -> str | None:
    """What is wrong with a host name, or None; `wildcard` lets its first label be one. One dot may end it."""
    if not 1 <= len(text) <= 255:
        return f"{text!r} is not 1 to 255 characters long" if len(text) < 60 else "longer than 255 characters"
    first, *rest = text.split(".")
    ends_in_number = rest[-1].isdecimal() if rest else first.isdecimal() and not wildcard
    if rest and not rest[-1]:
        rest = rest[:-1]
    first_ok = len(first) <= 63 and (_WILDCARD_LABEL if wildcard else _LABEL).fullmatch(first)
    if not first_ok:
        return f"{text!r} is not a domain name: bad label {first!r}"
    for label in rest:
        if not is_label(label):
            return f"{text!r} is not a domain name: bad label {label!r}"
    if ends_in_number:
        return f"{text!r} is not a domain name: its last label is a number"
    return None


def is_ip(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_fqdn(report: Report, path: str, text: str) -> None:
    """A host name without wildcards; one label is enough."""
    if fault := domain_fault(text):
        report.error(path, fault, "a host name")


def check_wildcard_host(report: Report, path: str, text: str, *, or_ip: bool = False) -> bool:
    """A host name whose first label may be a wildcard; the result says whether it is one."""
    if or_ip and is_ip(text):
        return True
    fault = domain_fault(text, wildcard=True)
    if fault:
        report.error(path, fault, "a host name, whose first label may be *" + (", or an IP address" if or_ip else ""))
    return fault is None


def check_label(report: Report, path: str, text: str) -> None:
    """A DNS label."""
    if not is_label(text):
        report.error(path, f"{text!r} is not a DNS label", "at most 63 letters, digits and dashes")


def check_ip(report: Report, path: str, text: str) -> None:
    """An address."""
    if not is_ip(text):
        report.error(path, f"{text!r} is not an IP address", "an IPv4 or IPv6 address")


def is_cidr(text: str) -> bool:
    """Whether it has exactly one slash, an address before it and a prefix length behind."""
    if text.count("/") != 1:
        return False
    address, _, length = text.partition("/")
    if not is_ip(address) or "%" in address or not re.fullmatch(r"0|[1-9][0-9]{0,2}", length):
        return False
    return int(length) <= ipaddress.ip_address(address).max_prefixlen


def check_subnet(report: Report, path: str, text: str) -> None:
    """A CIDR range, or one address."""
    if not (is_cidr(text) if "/" in text else is_ip(text)):
        report.error(path, f"{text!r} is neither an address nor a range", "an IP address or a CIDR range")


def check_unix_address(report: Report, path: str, text: str) -> None:
    """What stands behind `unix://`: an absolute path, or an abstract name that begins with `@`."""
    address = text.removeprefix("unix://")
    if address.startswith("@"):
        return
    if not address.startswith("/") or address.endswith("/"):
        report.error(path, f"{text!r} is not the address of a socket", "unix:///absolute/path or unix://@name")


def is_partial_wildcard(text: str) -> bool:
    """A wildcard that is not a whole first label: `*foo.com`."""
    return "*" in text and text != "*" and not text.startswith("*.")


def check_sni_auto_host(report: Report, path: str, text: str) -> bool:
    """`outbound_.PORT_.SUBSET_.HOST` (what a sidecar sends to an AUTO_PASSTHROUGH gateway), or a wildcard host."""
    parts = text.split("_")
    if not text.startswith(_SNI_PREFIX) or len(parts) < 4 or len(text) > 255:
        return check_wildcard_host(report, path, text)
    for part, pattern, name in ((parts[1], r"[0-9]", "port"), (parts[3], r"[a-zA-Z]", "host")):
        if not re.search(pattern, part):
            report.error(path, f"{text!r} has no {name} in its name", "outbound_.PORT_.SUBSET_.HOST")
            return False
    return True


def check_gateway_names(report: Report, path: str, names: tuple[str, ...]) -> None:
    """`NAMESPACE/NAME`, or a name of the same namespace; a bare name ends the check, as in Istio."""
    for index, name in enumerate(names):
        where = f"{path}[{index}]"
        if "/" not in name:
            check_fqdn(report, where, name)
            if "." in name:
                report.warn(where, f"{name!r} is the old form of a gateway's name: write NAMESPACE/NAME")
            return
        namespace, _, gateway = name.partition("/")
        if not is_label(namespace) or not is_label(gateway):
            report.error(where, f"{name!r} is not the name of a gateway", "NAMESPACE/NAME or NAME")
