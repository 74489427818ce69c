"""Reading what a client says when it refuses a message. Pure."""

import re
from collections.abc import Iterable


def mentions(message: str, name: str) -> bool:
    """Whether the words hold the name as a whole: `a_80` is not in `a_8080`."""
    if not name or name not in message:
        return False
    return re.search(rf"(?<![\w|.-]){re.escape(name)}(?![\w|-]|[.:]\w)", message) is not None


def refused_names(message: str, sent: Iterable[str]) -> frozenset[str]:
    """Of the resources of a refused message those that the client refuses: Envoy names them and takes the others.

    All of them when it names none.
    """
    names = frozenset(sent)
    return frozenset(name for name in names if mentions(message, name)) or names
