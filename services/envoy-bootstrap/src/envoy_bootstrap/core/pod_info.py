"""Labels and annotations of a pod, as the downward API writes them into files: lines `key="escaped value"`. Pure."""

import re

_LINE = re.compile(r'^([^=\s]+)="(.*)"$')
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)")
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def parse_pod_info(text: str) -> dict[str, str]:
    """The values by key; lines of another form are passed over, as a file may be read while it is replaced."""
    found = (_LINE.match(line) for line in text.splitlines())
    return {match[1]: _ESCAPE.sub(_unescaped, match[2]) for match in found if match}


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 1:
        return _PLAIN.get(code, code)
    number = int(code, 8) if code.isdigit() and code[0] in "01234567" and len(code) == 3 else int(code[1:], 16)
    return chr(number) if number < 0x110000 else "�"
