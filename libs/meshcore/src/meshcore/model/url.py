"""URLs, as strictly as Go reads them."""

import re
from urllib.parse import urlsplit

_BAD_CHARACTERS = re.compile(r"[\x00-\x20\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_BAD_HOST = re.compile(r"(?![A-Za-z0-9._~!$&'()*+,;:=<>\"%\[\]-])[\x00-\x7f]")


def url_fault(text: str, schemes: tuple[str, ...]) -> str | None:
    """What is wrong with a URL that must have one of these schemes, or None; an empty scheme is none."""
    fault = _form_fault(text)
    if fault:
        return fault
    scheme = scheme_of(text)
    return None if scheme in schemes else f"{text!r} has the scheme {scheme!r}"


def is_absolute_url(text: str) -> bool:
    """Whether it can be read as a URL that begins with a scheme or a slash."""
    return _form_fault(text) is None and (bool(scheme_of(text)) or text.startswith("/"))


def scheme_of(text: str) -> str:
    """What stands before the first colon, when it looks like a scheme; in lower case."""
    scheme, colon, _ = text.partition(":")
    return scheme.lower() if colon and _SCHEME.fullmatch(scheme) else ""


def _form_fault(text: str) -> str | None:
    if not text or _BAD_CHARACTERS.search(text):
        return f"{text!r} is not a URL"
    first = re.split(r"[/?#]", text, maxsplit=1)[0]
    if ":" in first and not _SCHEME.fullmatch(first.partition(":")[0]):
        return f"{text!r} is not a URL: its first part has a colon"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        return f"{text!r} is not a URL: {error}"
    if _BAD_HOST.search(parts.netloc.rpartition("@")[2]):
        return f"{text!r} is not a URL: bad host"
    if _BAD_ESCAPE.search(parts.netloc + parts.path):
        return f"{text!r} is not a URL: bad escape"
    return None
