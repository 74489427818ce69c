"""Watches the files of the secrets that Envoy has asked for, and has them served anew when they change."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import structlog
from meshcore.runtime.file_stamp import FileStamp, file_stamp
from meshcore.xds.secret_names import FileReference, file_reference

from envoy_bootstrap.adapters import watched_files
from envoy_bootstrap.adapters.watched_files import LOOK_EVERY
from envoy_bootstrap.core.discovery import Versioned
from envoy_bootstrap.core.file_secrets import SYSTEM_ROOTS, Contents, file_secret, outside

MOST_NAMES = 1000

_log = structlog.get_logger("files")


class FileSecrets:
    """`asked` notes names of files below `folders`; `watch` reads them and calls `changed` with all secrets when one is
    new."""

    def __init__(self, changed: Callable[[Mapping[str, Versioned]], None], folders: Sequence[str]) -> None:
        self._changed = changed
        self._folders = folders
        self._refused: set[str] = set()
        self._names: dict[str, FileReference] = {}
        self._stamps: dict[str, tuple[FileStamp, ...]] = {}
        self._served: dict[str, Versioned] = {}
        self._news = asyncio.Event()

    def asked(self, names: Iterable[str]) -> None:
        """Envoy wants these secrets; names that are no files' are somebody else's business."""
        for name in names:
            reference = file_reference(name)
            if reference is None or name in self._names or name in self._refused:
                continue
            if len(self._names) + len(self._refused) >= MOST_NAMES:
                continue
            if reason := outside(reference, self._folders):
                self._refused.add(name)
                _log.warning("file is not served", resource=name, reason=reason, kept=False)
                continue
            self._names[name] = reference
            self._news.set()

    async def watch(self) -> None:
        """Never returns."""
        while True:
            self._news.clear()
            if await asyncio.to_thread(self._look, dict(self._names)):
                self._changed(dict(self._served))
            if not self._names:
                await self._news.wait()
                continue
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _look(self, names: Mapping[str, FileReference]) -> bool:
        """Read what has changed since the last look; whether a secret is new."""
        news = False
        for name, reference in names.items():
            paths = _paths(reference)
            stamp = tuple(map(file_stamp, paths))
            if self._stamps.get(name) == stamp:
                continue
            found = file_secret(name, reference, _read(reference, paths))
            # Looked at before it was read: a file that changes meanwhile is read again.
            self._stamps[name] = stamp
            if isinstance(found, str):
                _log.warning("file is not served", resource=name, reason=found, kept=name in self._served)
            elif self._served.get(name) != found:
                self._served[name] = found
                news = True
                _log.info("file is served", resource=name, version=found.version)
        return news


def _paths(reference: FileReference) -> tuple[str, ...]:
    if reference.chain:
        return reference.chain, reference.key
    root = reference.root or next((path for path in SYSTEM_ROOTS if Path(path).exists()), SYSTEM_ROOTS[0])
    return (root, reference.revoked) if reference.revoked else (root,)


def _read(reference: FileReference, paths: tuple[str, ...]) -> Contents:
    contents = [watched_files.content(path) for path in paths]
    if reference.chain:
        return Contents(chain=contents[0], key=contents[1])
    return Contents(root=contents[0], revoked=contents[1] if reference.revoked else None)
