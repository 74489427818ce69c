"""Warning headers (RFC 7234 §5.5): kubectl prints each text behind `Warning:`."""

from collections.abc import Iterable

_LONGEST = 2048


def warning_headers(texts: Iterable[str]) -> list[tuple[str, str]]:
    """One header per distinct text, code 299, agent `-`, quoted."""
    return [("Warning", f'299 - "{_quoted(text)}"') for text in dict.fromkeys(texts)]


def _quoted(text: str) -> str:
    plain = "".join(char if char.isprintable() else " " for char in text[:_LONGEST])
    latin = plain.encode("latin-1", "replace").decode("latin-1")
    return latin.replace("\\", "\\\\").replace('"', '\\"')
