"""One adapter module for each set of the corpus.

A module has `SET`, the name of the set's folder, and `run(directory)`, which yields the outcome of each of its cases;
`run_webhook(directory)` too where the webhook has a say of its own. It is found by being here.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.conformance.outcome import Outcome

Adapter = Callable[[Path], Iterator[Outcome]]


def adapters() -> Mapping[str, Mapping[str, Adapter]]:
    """The adapters of each set that has one, by the set's name and by their own in the report."""
    found: dict[str, dict[str, Adapter]] = {}
    for module in pkgutil.iter_modules(__path__):
        adapter = importlib.import_module(f"{__name__}.{module.name}")
        found[adapter.SET] = {adapter.SET: adapter.run}
        if hasattr(adapter, "run_webhook"):
            found[adapter.SET][f"{adapter.SET}/webhook"] = adapter.run_webhook
    return found
