"""What a serving process gives back when it has time: messages that nobody has asked for of late, and free memory.

glibc returns what is free to the system only from the end of its heap: after a storm of connections one small object
above them keeps the buffers of all resident. `malloc_trim` returns every free page (docs/performance.md has the
figures); it is asked for in a thread, since ctypes lets the loop run meanwhile. Another libc has no such call and keeps
what it keeps.
"""

import asyncio
import ctypes
from collections.abc import Callable

from meshcore.xds.frames import Frames

EVERY = 30.0
"""Seconds."""


async def keep_house(frames: Frames) -> None:
    """Never returns."""
    trim = memory_trim()
    while True:
        await asyncio.sleep(EVERY)
        frames.forget_unused()
        await asyncio.to_thread(trim)


def memory_trim() -> Callable[[], object]:
    """Returns free memory to the system, where libc can."""
    found = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda: None) if found is None else lambda: found(0)
