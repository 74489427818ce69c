"""What tells that a file that somebody else replaces has changed."""

import os

FileStamp = tuple[int, int, int] | None


def file_stamp(path: str | os.PathLike[str]) -> FileStamp:
    """Differs when the file does; None for one that is not there.

    Looked at through links: one that is turned (a mounted Secret's `..data`) is seen. Take it before the file is read,
    so that one that changes meanwhile is read again.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
