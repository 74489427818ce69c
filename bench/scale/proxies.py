"""The process of the simulated proxies, seen from the harness."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Proxies:
    """Asks and gets answers, one at a time."""

    def __init__(self, process: subprocess.Popen[str], target: str, classes: int) -> None:
        self._process, self.target, self.classes = process, target, classes

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, *words: object) -> Any:
        """The answer to one command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process of the proxies has ended"
        return json.loads(answer)

    def complete(self, proxies: int, seconds: float) -> Any:
        """Waits until so many have everything."""
        found = self.ask("complete", seconds)
        assert found["complete"] == proxies, f"{found['complete']} of {proxies} proxies have everything: {self.ends()}"
        return found

    def ends(self) -> Any:
        """Why streams have ended since the mark."""
        return self.ask("arrivals")["ends"]


@contextmanager
def proxies_of(target: str, classes: int, certificates: Path | None, *more: str) -> Iterator[Proxies]:
    """The process, without any proxy yet; `more` are its options."""
    command = [sys.executable, "-m", "bench.scale.client", "--target", target, "--classes", str(classes)]
    command += ["--certificates", str(certificates)] if certificates else []
    command += more
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        clients = Proxies(process, target, classes)
        clients.ask("usage")
        try:
            yield clients
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=60)
