"""The iptables programs of one family: which of them to use, what they have, and giving them new rules. No shell."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.core.capture.saved_rules import SavedTable, parse_saved

_PATIENCE = 60.0
"""Seconds: another program may hold the lock of the tables."""


@dataclass(frozen=True, slots=True)
class XTables:
    """`save` and `restore` are paths of programs of one family and one kind."""

    version: int
    save: str
    restore: str

    def saved(self) -> dict[str, SavedTable]:
        """What the kernel has now."""
        return parse_saved(run([self.save]))

    def apply(self, text: str) -> None:
        """Give it to iptables-restore, which takes each table whole or not at all; nothing for an empty text."""
        if text:
            run([self.restore, "--noflush", "--wait"], text)


def run(command: Sequence[str], stdin: str = "", environment: Mapping[str, str] | None = None) -> str:
    """The program's output; FAILED_PRECONDITION with its complaint when it fails. `environment` None is our own."""
    try:
        done = subprocess.run(  # noqa: S603 - an argument list of our own words, without a shell
            command, input=stdin, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"{command[0]} cannot be run: {error}") from None
    if done.returncode:
        complaint = done.stderr.strip() or f"exit code {done.returncode}"
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"{' '.join(command)} failed: {complaint}")
    return done.stdout


def find_xtables(version: int, wish: str = "") -> XTables:
    """The programs that match the rules that are here already: legacy where legacy rules are, else nft, else whichever.

    `wish` (legacy or nft) leaves no choice. FAILED_PRECONDITION names what was looked for and why it is of no use.
    """
    name = "iptables" if version == 4 else "ip6tables"
    if wish:
        return _working(version, f"{name}-{wish}")[0]
    reasons = []
    for candidate in (f"{name}-legacy", f"{name}-nft", name):
        try:
            tools, tables = _working(version, candidate)
        except MeshError as error:
            reasons.append(error.detail)
            continue
        if not candidate.endswith("-legacy") or _has_rules(tables):
            return tools
    raise MeshError(ErrorCode.FAILED_PRECONDITION, f"no {name} is of use: {'; '.join(reasons)}")


def _working(version: int, name: str) -> tuple[XTables, Mapping[str, SavedTable]]:
    paths = [shutil.which(f"{name}-{part}") for part in ("save", "restore")]
    if not all(paths):
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"there is no {name}")
    tools = XTables(version, str(paths[0]), str(paths[1]))
    return tools, tools.saved()


def _has_rules(tables: Mapping[str, SavedTable]) -> bool:
    return any(lines for table in tables.values() for lines in table.chains.values())
