"""The demo's story: which config is applied in which order, and what share of the answers each step promises. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ADA = "ada"
OTHERS = "everybody else"
CALLERS = (ADA, OTHERS)
HALF = {"v1": 0.5, "v3": 0.5}
MEASURED_CHANGES = 50


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the file that is applied, and the shares that it promises to each caller."""

    title: str
    file: str
    promise: Mapping[str, Mapping[str, float]]


STEPS = (
    Step("everybody reads v1", "steps/1-all-v1.yaml", {ADA: {"v1": 1.0}, OTHERS: {"v1": 1.0}}),
    Step("half v1, half v3", "steps/2-half-v1-half-v3.yaml", {ADA: HALF, OTHERS: HALF}),
    Step("header end-user: ada gets v2", "steps/3-ada-gets-v2.yaml", {ADA: {"v2": 1.0}, OTHERS: HALF}),
    Step("everybody reads v3", "steps/4-all-v3.yaml", {ADA: {"v3": 1.0}, OTHERS: {"v3": 1.0}}),
)


def measured_change(number: int) -> dict[str, Any]:
    """The `number`-th VirtualService of the measurement: the weights differ from those before."""
    weight = 1 + number % 99
    destinations = [("v1", weight), ("v3", 100 - weight)]
    route = [{"destination": {"host": "reviews", "subset": name}, "weight": share} for name, share in destinations]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {"hosts": ["reviews"], "http": [{"route": route}]},
    }
