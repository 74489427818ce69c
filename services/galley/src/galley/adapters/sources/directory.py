"""A directory of YAML: every document in it is config, and a file that goes away takes its objects with it.

The directory is looked at, not listened to, so that it works on every file system and through the symbolic links of a
mounted ConfigMap. Files are read when they have not changed between two looks, so half a file is not taken for a whole.
What cannot be read, a file or a folder, concerns nothing else.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from galley.core.source import Fault, SourceObject, SourceState, read_documents, unforeseen

LARGEST_FILE = 16 * 1024 * 1024
_SUFFIXES = (".yaml", ".yml", ".json")

_NO_FILE = "not a file"

_Look = dict[str, tuple[int, int, int] | str]
"""What every file looks like from outside, or why it, or a folder, does not."""


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
        """Everything in the directory, or why the directory itself cannot be read."""
        if not self._directory.is_dir():
            return f"{self._directory} is not a directory"
        found: _Look = {}
        for path in self._files(self._directory, (), found):
            try:
                state = path.stat()
            except OSError as error:
                found[self._shown(path)] = str(error.strerror)
                continue
            regular = stat.S_ISREG(state.st_mode)
            found[self._shown(path)] = (state.st_ino, state.st_mtime_ns, state.st_size) if regular else _NO_FILE
        if (whole := found.get("./")) is not None:
            return f"{self._directory}: {whole}"
        return found

    def _files(self, folder: Path, around: tuple[tuple[int, int], ...], found: _Look) -> Iterator[Path]:
        """The files of a folder and of those in it; a link to a folder around it leads nowhere new."""
        try:
            state = folder.stat()
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found[f"{self._shown(folder)}/"] = str(error.strerror)
            return
        here = (state.st_dev, state.st_ino)
        if here in around:
            return
        folders: list[Path] = []
        for entry in listed:
            if entry.name.startswith("."):
                continue
            path, is_config = folder / entry.name, entry.name.endswith(_SUFFIXES)
            try:
                is_folder = entry.is_dir()
            except OSError as error:  # a link around in circles
                found[self._shown(path) if is_config else f"{self._shown(path)}/"] = str(error.strerror)
                continue
            if is_folder:
                folders.append(path)
            elif is_config:
                yield path
        for path in folders:
            yield from self._files(path, (*around, here), found)

    def _shown(self, path: Path) -> str:
        return path.relative_to(self._directory).as_posix()

    def _read(self, seen: _Look | str) -> SourceState:
        if isinstance(seen, str):
            return SourceState((), faults=(Fault("", None, seen),), complete=False)
        objects: list[SourceObject] = []
        faults: list[Fault] = []
        unreadable: set[str] = set()
        for name, looks in seen.items():
            origin = os.fsencode(name).decode(errors="backslashreplace")
            try:
                if isinstance(looks, str):
                    raise ValueError(looks)
                found, wrong = read_documents(self._text(name), origin)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                found, wrong = [], [Fault(origin, None, f"cannot be read: {reason}")]
            except Exception as error:  # noqa: BLE001 - a failure of ours over one file concerns no other
                found, wrong = [], [unforeseen(error, origin)]
            objects += found
            faults += wrong
            if wrong:
                unreadable.add(origin)
        return SourceState(tuple(objects), None, frozenset(unreadable), tuple(faults))

    def _text(self, name: str) -> str:
        descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_NONBLOCK)  # a pipe may be there by now
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError(_NO_FILE)
            body = file.read(LARGEST_FILE + 1)
        if len(body) > LARGEST_FILE:
            raise ValueError(f"more than {LARGEST_FILE} bytes")
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
