"""Files and directories that only their owner reads, written once."""

import os
import secrets
from pathlib import Path

from meshcore.tls.identity import write_private


def private_directory(path: Path) -> Path:
    """Make a directory with mode 0700, or give that mode to the one that is there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def written_once(path: Path, content: bytes, mode: int = 0o600) -> bytes:
    """The content of a file, which is `content` if it was not there; an existing file gets its mode back."""
    if not path.exists():
        write_private(path, content, mode)
    path.chmod(mode)
    return path.read_bytes()


def kept_current(path: Path, content: bytes, mode: int = 0o600) -> bool:
    """Write a file whose content follows from others; True when it changed."""
    if path.exists() and path.read_bytes() == content:
        path.chmod(mode)
        return False
    write_private(path, content, mode)
    return True


def new_token() -> bytes:
    """256 random bits as text."""
    return secrets.token_urlsafe(32).encode()


def give_to(directory: Path, uid: int, gid: int) -> None:
    """Change the owner of a directory and of all below it."""
    for path in (directory, *directory.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)
