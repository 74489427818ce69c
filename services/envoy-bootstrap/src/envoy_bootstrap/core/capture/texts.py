"""What each kind of flag may say. Pure.

Every text that becomes part of a rule is one word of a small alphabet: nothing that a user, an annotation or an
environment says can end a rule, begin another or be taken for an option.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum, auto

from meshcore.durations import parse_duration


class Kind(Enum):
    """What a flag holds."""

    BOOLEAN = auto()
    PORT = auto()
    PORTS = auto()
    PORTS_OR_ALL = auto()
    CIDRS = auto()
    CIDRS_OR_ALL = auto()
    LOOPBACK = auto()
    INTERFACES = auto()
    OWNERS = auto()
    OWNERS_OR_ALL = auto()
    MODE = auto()
    NUMBER = auto()
    DURATION = auto()
    BINARY = auto()
    TEXT = auto()


_INTERFACE = re.compile(r"[A-Za-z0-9_.+@:][A-Za-z0-9_.+@:-]{0,14}")
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")
_PORT = re.compile(r"[0-9]{1,5}")
_NUMBER = re.compile(r"[0-9]{1,10}")
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
LARGEST_LIST = 64 * 1024
"""Characters of one list: the annotations of a pod have 256 KiB together."""


def split(text: str) -> tuple[str, ...]:
    """Items of a comma-separated list, without blanks around them and without the empty ones."""
    return tuple(item for item in (part.strip(" ") for part in text.split(",")) if item)


def is_true(text: str) -> bool:
    """A boolean as Go reads them; the empty text is false."""
    return text in _TRUE


def expected(kind: Kind, text: str) -> str | None:
    """What should stand there instead of `text`, None when it is right."""
    if len(text) > LARGEST_LIST:
        return f"at most {LARGEST_LIST} characters"
    return _CHECKS[kind](text)


def ranges(text: str) -> tuple[ipaddress.IPv4Interface | ipaddress.IPv6Interface, ...]:
    """The CIDR blocks of a list that is right, with the bits of their hosts as they are."""
    return tuple(ipaddress.ip_interface(item) for item in split(text))


def duration(text: str) -> timedelta:
    """A Go duration that is right."""
    return parse_duration(text)


def _boolean(text: str) -> str | None:
    return None if text in _TRUE or text in _FALSE else "true or false"


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= 65535


def _port(text: str) -> str | None:
    return None if _is_port(text) else "a port from 0 to 65535"


def _ports(text: str) -> str | None:
    return None if all(map(_is_port, split(text))) else "ports from 0 to 65535, separated by commas"


def _is_cidr(text: str) -> bool:
    try:
        block = ipaddress.ip_interface(text)
    except ValueError:
        return False
    address, _, bits = text.partition("/")
    mapped = isinstance(block.ip, ipaddress.IPv6Address) and block.ip.ipv4_mapped is not None
    return bits.isascii() and bits.isdigit() and "%" not in address and not mapped


def _cidrs(text: str) -> str | None:
    return None if all(map(_is_cidr, split(text))) else "CIDR blocks such as 10.0.0.0/8, separated by commas"


def _loopback(text: str) -> str | None:
    if _is_cidr(text):
        block = ipaddress.ip_interface(text)
        if block.version == 4 and block.ip.is_loopback and 8 <= block.network.prefixlen <= 32:
            return None
    return "a block of IPv4 loopback addresses, of 8 to 32 bits"


def _matches(pattern: re.Pattern[str], what: str) -> Callable[[str], str | None]:
    return lambda text: None if all(pattern.fullmatch(item) for item in split(text)) else what


def _or_all(check: Callable[[str], str | None]) -> Callable[[str], str | None]:
    def checked(text: str) -> str | None:
        wrong = None if text == "*" else check(text)
        return wrong and f"{wrong}, or *"

    return checked


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    return lambda text: None if text in ("", *allowed) else " or ".join(allowed)


def _number(text: str) -> str | None:
    right = _NUMBER.fullmatch(text) is not None and 0 < int(text) <= 0xFFFFFFFF
    return None if right else "a number from 1 to 4294967295"


def _duration(text: str) -> str | None:
    try:
        return None if parse_duration(text) > timedelta() else "a duration above 0s"
    except ValueError:
        return "a duration such as 5s"


_owners = _matches(_OWNER, "users or groups, by number or by name, separated by commas")
_CHECKS: Mapping[Kind, Callable[[str], str | None]] = {
    Kind.BOOLEAN: _boolean,
    Kind.PORT: _port,
    Kind.PORTS: _ports,
    Kind.PORTS_OR_ALL: _or_all(_ports),
    Kind.CIDRS: _cidrs,
    Kind.CIDRS_OR_ALL: _or_all(_cidrs),
    Kind.LOOPBACK: _loopback,
    Kind.INTERFACES: _matches(_INTERFACE, "names of network interfaces, separated by commas"),
    Kind.OWNERS: _owners,
    Kind.OWNERS_OR_ALL: _or_all(_owners),
    Kind.MODE: _one_of("REDIRECT", "TPROXY"),
    Kind.NUMBER: _number,
    Kind.DURATION: _duration,
    Kind.BINARY: _one_of("legacy", "nft"),
    Kind.TEXT: lambda text: None if text.isprintable() else "text without control characters",
}
