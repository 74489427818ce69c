"""The opaque `continue` token of a list: the revision all pages are read at, and the last key of the page before.
Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from meshcore.errors import ErrorCode, MeshError

_DIGITS, _REVISIONS_END = 19, 2**63
"""Of a revision: what a database takes for a number."""


@dataclass(frozen=True, slots=True)
class ContinueToken:
    """Where the next page begins: after (namespace, name), at the same revision."""

    revision: int
    namespace: str
    name: str

    def __str__(self) -> str:
        text = f"{self.revision}\0{self.namespace}\0{self.name}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_continue_token(text: str) -> ContinueToken:
    """The token in a query; INVALID when it is not one of ours."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        revision, namespace, name = raw.split("\0")
        if len(revision) > _DIGITS or not 0 <= int(revision) < _REVISIONS_END:
            raise ValueError(revision)
        return ContinueToken(int(revision), namespace, name)
    except (binascii.Error, UnicodeError, ValueError):
        raise MeshError(ErrorCode.INVALID, "continue key is not valid") from None
