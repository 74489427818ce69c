"""What a log line must never carry, and how it is struck out.

Defence in depth: nothing should log a secret in the first place; this catches the exception text that quotes one.
"""

import re
from typing import Any

REDACTED = "[redacted]"
_SECRET_NAMES = re.compile(
    r"(^|_|-)(token|password|passwd|secret|authorization|private_key|key_pem|kek|cookie|bearer)s?($|_|-)", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?<=Bearer )[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<=://)[^\s/:@]+:[^\s/@]+(?=@)",
    re.DOTALL,
)


def redact_text(text: str) -> str:
    """Strike out PEM private keys, JSON web tokens, bearer tokens and the user part of addresses."""
    return _SECRET_TEXT.sub(REDACTED, text)


def redact(value: Any, name: str = "") -> Any:
    """Strike secrets out of a value of an event, by the name it goes under or by what it looks like."""
    if name and _SECRET_NAMES.search(name) and isinstance(value, str | bytes):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes):
        return redact_text(value.decode("latin-1"))
    if isinstance(value, dict):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value
