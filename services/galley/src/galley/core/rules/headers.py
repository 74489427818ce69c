"""Names of headers, and values with Envoy's command operators (`%REQ(x)%`)."""

import re

from meshcore.xds.command_operators import operator_fault

from galley.core.rules.report import Report

_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PSEUDO = frozenset((":method", ":scheme", ":authority", ":path", ":status"))
_CLAIM = re.compile(r"@request\.auth\.claims(?:\..+|(?:\[[^\[\]]+\])+)")
_LONGEST_VALUE = 16384
"""config.core.v3.HeaderValue: a longer one makes Envoy refuse the whole route configuration."""
_OPERATOR_NAME = re.compile(r"[A-Z0-9_]+(?::\d+(?=%))?")


def is_token(text: str) -> bool:
    """Whether it is a header's name (RFC 7230 §3.2.6)."""
    return _TOKEN.fullmatch(text) is not None


def is_claim(name: str) -> bool:
    """Whether the key matches a JWT claim rather than a header."""
    return name.startswith("@request.auth.")


def check_match_name(report: Report, path: str, name: str) -> None:
    """The key of a header match: a header, a pseudo header, or a claim."""
    if not (is_token(name) or name in _PSEUDO or _CLAIM.fullmatch(name)):
        report.error(
            path, f"{name!r} is not the name of a header", "a header, :method, :path, :authority, :scheme, :status"
        )


def check_written_name(report: Report, path: str, name: str) -> None:
    """A header that is set or added on a request; `:authority` and `host` may be."""
    if not name:
        report.error(path, "the name of a header is empty")
    elif name.startswith(":") and name.lower() != ":authority":
        report.error(path, f"{name!r} cannot be changed", "no header that begins with ':', except :authority")
    elif _CONTROL.search(name):
        report.error(path, f"{name!r} has a control character")


def check_plain_name(report: Report, path: str, name: str) -> None:
    """A header that is removed, or that is written on a response."""
    if not name:
        report.error(path, "the name of a header is empty")
    elif name.startswith(":") or name.lower() == "host":
        report.error(path, f"{name!r} cannot be changed", "no header that begins with ':', and not host")
    elif _CONTROL.search(name):
        report.error(path, f"{name!r} has a control character")


def check_value(report: Report, path: str, value: str) -> None:
    """No control characters but TAB, and every `%` doubled or part of a command operator."""
    if any((ord(char) < 32 and char != "\t") or ord(char) == 127 for char in value):
        report.error(path, "a header's value has a control character")
        return
    if len(value.encode(errors="replace")) > _LONGEST_VALUE:
        report.error(path, "a header's value is too long for Envoy", f"at most {_LONGEST_VALUE} bytes")
        return
    if fault := _format_fault(value) or operator_fault(value):
        report.error(path, fault, "%% for a percent sign, or a command operator such as %REQ(x)%")


def check_one_line(report: Report, path: str, text: str) -> None:
    """What Envoy writes into a request line or a Location: a line end or NUL there makes it refuse all its routes."""
    if any(char in text for char in "\0\r\n"):
        report.error(path, "the text has a line end or a NUL", "one line of text")


def _format_fault(value: str) -> str | None:
    """Walk the value: text, `%%`, or `%NAME%`, `%NAME:length%`, `%NAME(argument)%`, `%NAME(["a","b"])%`.

    Envoy takes a length behind an argument too; Istio does not, and neither do we.
    """
    at = 0
    while (start := value.find("%", at)) >= 0:
        if value.startswith("%%", start):
            at = start + 2
            continue
        name = _OPERATOR_NAME.match(value, start + 1)
        if name is None:
            return f"a single % at position {start + 1}"
        at = name.end()
        if value.startswith("([", at):
            closing = value.find("])", at)
            if closing < 0 or not _is_list(value[at + 2 : closing]):
                return f"the argument of %{name[0]} does not end"
            at = closing + 2
        elif value.startswith("(", at):
            closing = value.find(")", at)
            if closing < 0:
                return f"the argument of %{name[0]} does not end"
            at = closing + 1
        if not value.startswith("%", at):
            return f"%{name[0]} does not end with %"
        at += 1
    return None


def _is_list(text: str) -> bool:
    return re.fullmatch(r' *"[^"]*" *(?:, *"[^"]*" *)*', text) is not None
