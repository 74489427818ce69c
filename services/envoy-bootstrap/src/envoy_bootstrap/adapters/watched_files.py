"""Files that somebody else replaces: how often they are looked at, and what they hold."""

LOOK_EVERY = 1.0
"""Seconds between looks at files. Looks, not kernel events: they see a link being turned anywhere on the path (a
mounted Secret's `..data`), and work on every file system."""
LARGEST = 4 << 20
"""Bytes of a file; the roots of an operating system are a quarter of a megabyte."""


def content(path: str) -> bytes | None:
    """What the file holds; None for one that cannot be read or is too large."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError:
        return None
    return data if len(data) <= LARGEST else None
