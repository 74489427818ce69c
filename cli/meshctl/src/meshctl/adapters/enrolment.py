"""What workloads in containers need before their first certificate: a folder for each, kept fresh as a kubelet does.

    DIR/NAME/root-cert.pem   the roots that the control plane is believed by
    DIR/NAME/token           a token of its service account, replaced at half of its life
    DIR/NAME/state-key       what the agent encrypts its stored state with; written once

Files belong to the group of their folder and may be read by it: the agent runs as another user than this.
"""

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.config_api import ConfigApi, open_config_api
from meshctl.adapters.config_files import read_documents
from meshctl.core import mesh_objects
from meshctl.core.workloads import Workload, WorkloadsFile

STATE_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class GalleyAccess:
    """Where Galley's config API is, and the files by which it is believed and asked."""

    url: str
    root_file: str
    token_file: str

    def open(self) -> ConfigApi:
        """A connection as the administrator."""
        return open_config_api(self.url, self.root_file, self.token_file)


class Enrolment:
    """The folders of a file's workloads below `directory`."""

    def __init__(self, galley: GalleyAccess, directory: Path, workloads: WorkloadsFile) -> None:
        self._galley, self._directory, self._file = galley, directory, workloads

    def seed(self, trust_domain: str) -> tuple[str, ...]:
        """Create what is missing of the first objects and the workloads' config; what is there stays as it is."""
        wanted = [
            *mesh_objects.first_objects(trust_domain, proxy_http_port=None),
            *mesh_objects.objects_of(self._file.workloads),
            *(found.body for found in read_documents(self._file.config)),
        ]
        with self._galley.open() as api:
            return tuple(f"{body['kind']} {body['metadata']['name']}" for body in wanted if api.create_missing(body))

    def refresh(self, now: float) -> Iterator[str]:
        """Write what is missing or no longer fresh at `now` (Unix time); yields each name that got a token.

        Raises MeshError while Galley gives none, and for a workload that gets none after all others have theirs; what
        was written before stays.
        """
        root = Path(self._galley.root_file).read_bytes()
        stale = []
        for workload in self._file.workloads:
            folder = self._directory / workload.name
            folder.mkdir(mode=0o2750, parents=True, exist_ok=True)
            _replace(folder / "root-cert.pem", root)
            _once(folder / "state-key", secrets.token_hex(STATE_KEY_BYTES).encode())
            if _age(folder / "token", now) > mesh_objects.TOKEN_SECONDS / 2:
                stale.append(workload)
        yield from self._write_tokens(stale)

    def _write_tokens(self, workloads: Sequence[Workload]) -> Iterator[str]:
        if not workloads:
            return
        refused: MeshError | None = None
        with self._galley.open() as api:
            for workload in workloads:
                try:
                    token = api.workload_token(workload.namespace, workload.service_account)
                except MeshError as error:
                    if error.code is ErrorCode.UNAVAILABLE:
                        raise
                    refused = refused or error
                    continue
                _replace(self._directory / workload.name / "token", token.encode())
                yield workload.name
        if refused is not None:
            raise refused


def unfinished(directory: Path, workloads: Iterable[Workload], now: float) -> tuple[str, ...]:
    """The names of those without a token that is still good at `now`."""
    life = mesh_objects.TOKEN_SECONDS
    return tuple(one.name for one in workloads if _age(directory / one.name / "token", now) >= life)


def _age(path: Path, now: float) -> float:
    """Seconds since the file was written; endless where there is none, or where the clock has been set back."""
    try:
        age = now - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
    return age if age >= 0 else float("inf")


def _replace(path: Path, content: bytes) -> None:
    """At once, unless it says so already and is no token."""
    if path.name != "token" and path.exists() and path.read_bytes() == content:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    _once(temporary, content)
    temporary.replace(path)


def _once(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o440)
        file.write(content)
