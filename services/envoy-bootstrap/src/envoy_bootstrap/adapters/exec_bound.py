"""Become another program that cannot outlive the process that started it.

Run as a script: `python exec_bound.py PARENT_PID PROGRAM ARGUMENTS...`. The process id stays the same. It is a program
rather than code between fork and exec because the agent has threads: Python code there may wait for a lock for ever.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Ask the kernel for SIGKILL when the parent ends (prctl(2)), then exec; 1 when the parent has already gone."""
    parent, program = int(arguments[0]), arguments[1]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        return 1
    if os.getppid() != parent:
        return 1
    os.execv(program, arguments[1:])  # noqa: S606 - no shell is involved; the program is the agent's own Envoy


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
