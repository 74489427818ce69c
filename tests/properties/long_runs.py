"""How many examples are drawn: few and always the same ones, or many others in a long run (`make properties`).

`PROPERTY_EXAMPLES` and `PROPERTY_SEED` make it a long run.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import seed, settings

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "20"))
LIMIT = 120 + 10 * EXAMPLES
"""Seconds: a long run takes what it takes."""
_SEED = os.environ.get("PROPERTY_SEED")


def examples(count: int, **more: Any) -> Callable[[Any], Any]:
    """Settings of a test of drawn examples, from the seed of the long run when this is one."""
    if not _SEED:
        return settings(max_examples=count, **more)
    drawn = settings(max_examples=count, derandomize=False, database=None, **more)
    return lambda test: seed(int(_SEED))(drawn(test))
