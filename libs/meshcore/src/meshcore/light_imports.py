"""How a service imports what it is made of: quickly, and without what nothing of it uses.

Imports are most of a start (docs/performance.md). They make some 200,000 objects that stay: looking for garbage among
them takes a quarter of the time, and finds next to none.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("aiohttp", "click", "pygments", "rich")
"""What libraries take in only where it is installed: nats-py for WebSockets, structlog for tracebacks that show
variables, httpx for its command line."""


@contextmanager
def light_imports(*without: str) -> Iterator[None]:
    """What is imported in this block is there to stay, and is not looked at by the garbage collector again.

    Modules of these names seem not to be installed meanwhile; those that are there already stay.
    """
    absent = [name for name in without if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
        gc.freeze()
        if collects:
            gc.enable()
