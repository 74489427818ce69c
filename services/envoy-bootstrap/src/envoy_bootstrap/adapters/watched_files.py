"""Files that somebody else replaces: what tells that they have changed, and what they hold."""

import os

LOOK_EVERY = 1.0
"""Seconds between looks at files. Looks, not kernel events: they see a link being turned anywhere on the path (a
mounted Secret's `..data`), and work on every file system."""
LARGEST = 4 << 20
"""Bytes of a file; the roots of an operating system are a quarter of a megabyte."""

Stamp = tuple[int, int, int] | None


def stamp(path: str) -> Stamp:
    """Differs when the file does; None for one that is not there. Taken before the file is read: one that changes
    meanwhile is read again."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def content(path: str) -> bytes | None:
    """What the file holds; None for one that cannot be read or is too large."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError:
        return None
    return data if len(data) <= LARGEST else None
