"""The topics of the set of facts: small inputs, and what one function of ours makes of them.

A module has `TOPICS`: the name of a topic, and what answers its cases; and `AGREE` where that is not simply
equal. It is found by being here.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any


class NoCounterpartError(Exception):
    """The case asks for something that is not ours to do; the text says what."""


Answer = Callable[[Mapping[str, Any]], Any]


Agrees = Callable[[Any, Any], bool]


def agreements() -> Mapping[str, Agrees]:
    """How an answer is compared with what is wanted, for topics where more than one form of it is right."""
    found: dict[str, Agrees] = {}
    for module in pkgutil.iter_modules(__path__):
        found.update(getattr(importlib.import_module(f"{__name__}.{module.name}"), "AGREE", {}))
    return found


def topics() -> Mapping[str, Answer]:
    """What answers each topic that has a counterpart here."""
    found: dict[str, Answer] = {}
    for module in pkgutil.iter_modules(__path__):
        found.update(importlib.import_module(f"{__name__}.{module.name}").TOPICS)
    return found
