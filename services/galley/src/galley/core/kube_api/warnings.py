"""Warning headers (RFC 7234 §5.5): kubectl prints each text behind `Warning:`."""

from collections.abc import Iterable

_LONGEST = 2048
_LONGEST_TOGETHER = 8192
"""Characters of one text and of all: clients refuse answers whose headers are too long."""


def warning_headers(texts: Iterable[str]) -> list[tuple[str, str]]:
    """One header per distinct text, code 299, agent `-`, quoted; the last one counts those that found no room."""
    quoted = [_quoted(text) for text in dict.fromkeys(texts)]
    room, shown = _LONGEST_TOGETHER, 0
    while shown < len(quoted) and len(quoted[shown]) <= room:
        room -= len(quoted[shown])
        shown += 1
    rest = [f"{len(quoted) - shown} more warnings"] if shown < len(quoted) else []
    return [("Warning", f'299 - "{text}"') for text in quoted[:shown] + rest]


def _quoted(text: str) -> str:
    plain = text[:_LONGEST]
    if not plain.isprintable():
        plain = "".join(char if char.isprintable() else " " for char in plain)
    latin = plain.encode("latin-1", "replace").decode("latin-1")
    return latin.replace("\\", "\\\\").replace('"', '\\"')
