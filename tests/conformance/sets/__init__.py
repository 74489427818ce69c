"""One adapter module for each set of the corpus.

A module has `SET`, the name of the set's folder, and `run(directory)`, which yields the outcome of each of its cases.
It is found by being here.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.conformance.outcome import Outcome

Adapter = Callable[[Path], Iterator[Outcome]]


def adapters() -> Mapping[str, Adapter]:
    """The adapter of each set that has one, by the set's name."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        adapter = importlib.import_module(f"{__name__}.{module.name}")
        found[adapter.SET] = adapter.run
    return found
