"""A directory of YAML: every document in it is config, and a file that goes away takes its objects with it.

The directory is looked at, not listened to, so that it works on every file system and through the symbolic links of a
mounted ConfigMap. Files are read when they have not changed between two looks, so half a file is not taken for a whole.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from galley.core.source import Fault, SourceObject, SourceState, read_documents

LARGEST_FILE = 16 * 1024 * 1024
_SUFFIXES = (".yaml", ".yml", ".json")

_Look = dict[str, tuple[int, int, int]]


class DirectorySource:
    """Config in files."""

    name = "files"

    def __init__(self, directory: Path, interval: float = 0.5, again_after: float = 5.0) -> None:
        """`interval` and `again_after` are seconds: between two looks, and until what was refused is tried again."""
        self._directory = directory
        self._interval = interval
        self._again_after = again_after
        self._again: float | None = None

    def ask_again(self) -> None:
        """Tell the state once more."""
        self._again = asyncio.get_running_loop().time() + self._again_after

    async def events(self) -> AsyncIterator[SourceState]:
        """The state of the directory, each time that it is another one."""
        clock = asyncio.get_running_loop().time
        told: _Look | str | None = None
        last: _Look | str | None = None
        while True:
            seen = await asyncio.to_thread(self._look)
            due = self._again is not None and clock() >= self._again
            if seen == last and (seen != told or due):
                told, self._again = seen, None
                yield await asyncio.to_thread(self._read, seen)
            last = seen
            await asyncio.sleep(self._interval)

    def _look(self) -> _Look | str:
        """What every file looks like from outside, or why the directory cannot be read."""
        found: _Look = {}
        try:
            os.scandir(self._directory).close()
            for parent, folders, files in os.walk(self._directory, followlinks=True):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(files):
                    if not name.startswith(".") and name.endswith(_SUFFIXES):
                        path = Path(parent, name)
                        state = path.stat()
                        shown = path.relative_to(self._directory).as_posix()
                        found[shown] = (state.st_ino, state.st_mtime_ns, state.st_size)
        except FileNotFoundError as error:
            if not self._directory.is_dir():
                return f"{self._directory} is not a directory"
            return f"{error.filename} went away"  # in the middle of a look; the next one tells
        except OSError as error:
            return f"{self._directory}: {error.strerror}"
        return found

    def _read(self, seen: _Look | str) -> SourceState:
        if isinstance(seen, str):
            return SourceState((), faults=(Fault("", None, seen),), complete=False)
        objects: list[SourceObject] = []
        faults: list[Fault] = []
        unreadable: set[str] = set()
        for origin in seen:
            try:
                found, wrong = read_documents(self._text(origin), origin)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                found, wrong = [], [Fault(origin, None, f"cannot be read: {reason}")]
            objects += found
            faults += wrong
            if wrong:
                unreadable.add(origin)
        return SourceState(tuple(objects), None, frozenset(unreadable), tuple(faults))

    def _text(self, origin: str) -> str:
        with (self._directory / origin).open("rb") as file:
            body = file.read(LARGEST_FILE + 1)
        if len(body) > LARGEST_FILE:
            raise ValueError(f"more than {LARGEST_FILE} bytes")
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
