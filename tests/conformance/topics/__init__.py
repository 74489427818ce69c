"""The topics of the set of facts: small inputs, and what one function of ours makes of them.

A module has `TOPICS`: the name of a topic, and what answers its cases. It is found by being here.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

Answer = Callable[[Mapping[str, Any]], Any]


def topics() -> Mapping[str, Answer]:
    """What answers each topic that has a counterpart here."""
    found: dict[str, Answer] = {}
    for module in pkgutil.iter_modules(__path__):
        found.update(importlib.import_module(f"{__name__}.{module.name}").TOPICS)
    return found
