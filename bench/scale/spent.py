"""What processes have spent: processor time and memory, and who else uses the machine."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

MEBIBYTE = 1 << 20
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Spent:
    """A process with its children, as /proc shows them now."""

    def __init__(self, pid: int) -> None:
        self.pids = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]

    def cpu_seconds(self) -> float:
        """All threads, for themselves and in the kernel; in steps of 10 ms."""
        return sum(int(fields[11]) + int(fields[12]) for fields in map(_stat, self.pids)) / _TICK

    def resident_mebibytes(self) -> float:
        """Now."""
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids) * _PAGE / MEBIBYTE

    def started(self) -> float:
        """When the first of them was started, by CLOCK_MONOTONIC; good to 10 ms."""
        return int(_stat(self.pids[0])[19]) / _TICK

    def files(self) -> int:
        """Open file descriptors."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids)


def runs(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return _stat(pid)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def cpu_seconds(processes: Iterable[Spent]) -> float:
    """Of all of them."""
    return sum(one.cpu_seconds() for one in processes)


def wait_for_rest(processes: Sequence[Spent], share: float = 0.02, looks: int = 9, seconds: float = 180) -> float:
    """Until each takes less than this share of a processor on average, at so many looks in a row, four seconds apart:
    longer than an agent waits until it dumps a large configuration again. How long that took."""
    began, spent, quiet = time.monotonic(), cpu_seconds(processes), 0
    while quiet < looks:
        assert time.monotonic() - began < seconds, "the processes do not come to rest"
        time.sleep(4)
        before, spent = spent, cpu_seconds(processes)
        quiet = quiet + 1 if spent - before < share * 4 * len(processes) else 0
    return time.monotonic() - began


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


class Others:
    """What other processes of the machine computed meanwhile, by name, in processors."""

    def __init__(self) -> None:
        self._before = _all_times()

    def since(self, seconds: float, own: set[int]) -> dict[str, float]:
        """The three that took most, besides `own` and their children."""
        taken: Counter[str] = Counter()
        ours = own | {child.pid for pid in own if psutil.pid_exists(pid) for child in _children(pid)}
        for pid, (name, spent) in _all_times().items():
            if pid not in ours:
                taken[name] += spent - self._before.get(pid, (name, 0.0))[1]
        return {name: round(spent / seconds, 2) for name, spent in taken.most_common(3) if spent / seconds > 0.01}


def _children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def _all_times() -> dict[int, tuple[str, float]]:
    found = {}
    for one in psutil.process_iter(["name", "cpu_times"]):
        times = one.info["cpu_times"]
        if times is not None:
            found[one.pid] = (str(one.info["name"]), times.user + times.system)
    return found
