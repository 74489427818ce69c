"""The key of one config object, and its spelling in the bucket `mesh-config`.

`<group>.<plural>.<namespace>.<name>`; `core` stands for the empty group, `_` for cluster scope, and every byte outside
`[A-Za-z0-9_-]` (the dot too) is written `=XX`. The spelling is injective: a group that is really called `core` and a
namespace that is really called `_` are escaped. Pure.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

CORE_GROUP = "core"
CLUSTER_SCOPE = "_"
HEAD_KEY = "_head"

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPE = re.compile(r"=([0-9A-F]{2})")


class Key(NamedTuple):
    """What names one config object: API group ("" for the core group), plural, namespace ("" for cluster scope),
    name."""

    group: str
    plural: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return kv_key(*self)


@lru_cache(1024)
def kv_key(group: str, plural: str, namespace: str, name: str) -> str:
    """The bucket key of an object; ValueError when plural or name is empty."""
    if not plural or not name:
        raise ValueError(f"a config key needs a plural and a name, not {plural!r} and {name!r}")
    return ".".join(
        (_escape(group, CORE_GROUP), _escape(plural, ""), _escape(namespace, CLUSTER_SCOPE), _escape(name, ""))
    )


def parse_kv_key(text: str) -> Key:
    """The inverse of `kv_key`; ValueError for anything that `kv_key` would not have written."""
    parts = text.split(".")
    if len(parts) != 4:
        raise ValueError(f"{text!r} is not a config key: four parts expected")
    group, plural, namespace, name = parts
    key = Key(
        _unescape(group, CORE_GROUP), _unescape(plural, ""), _unescape(namespace, CLUSTER_SCOPE), _unescape(name, "")
    )
    if kv_key(*key) != text:
        raise ValueError(f"{text!r} is not a config key in its one spelling")
    return key


def _escape(part: str, stands_for_empty: str) -> str:
    if not part:
        return stands_for_empty
    if part == stands_for_empty:
        return f"={ord(part[0]):02X}{part[1:]}"
    if _PLAIN.fullmatch(part):
        return part
    return _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], part.encode()).decode()


def _unescape(part: str, stands_for_empty: str) -> str:
    if part == stands_for_empty:
        return ""
    if "=" not in part:
        return part
    raw = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), part)
    try:
        return raw.encode("latin-1").decode()
    except UnicodeError:
        raise ValueError(f"{part!r} is not escaped UTF-8") from None
