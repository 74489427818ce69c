"""Whether a process still runs. A zombie does not: it waits for a parent that may never ask (PID 1 of a container)."""

from pathlib import Path


def is_running(pid: int) -> bool:
    """False for a process that ended, reaped or not (proc(5), `stat`)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
