"""The metrics of a service: one Prometheus registry, names exactly as Istio's dashboards expect them.

`counter`, `gauge` and `histogram` may be called again with the same name: they answer the metric made first. Counters
keep the name they were given (Istio's `citadel_server_csr_count` has no `_total`), which the text format allows.
Label values are bounded sets, never identities or names that a caller chooses.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from threading import Lock
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REGISTRY = CollectorRegistry(auto_describe=True)
PROCESS = ProcessCollector(registry=REGISTRY)
"""What this process takes of the machine."""

_made: dict[str, Any] = {}
_meter: Any = None
_M = TypeVar("_M")


class _ExactCounter(Counter):
    """A counter whose sample has the metric's own name, and no `_created` companion."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self._name = name

    def inc(self, amount: float = 1, exemplar: Any = None) -> None:
        """As the library's, without exemplars."""
        if amount < 0:
            raise ValueError("a counter only grows")
        self._value.inc(amount)

    def set_function(self, read: Callable[[], float]) -> None:
        """Show what something else counts, as a gauge's method of this name does."""
        self._raise_if_not_observable()  # type: ignore[no-untyped-call]
        self._child_samples = lambda: (Sample("", {}, float(read()), None, None),)  # type: ignore[method-assign]

    def _child_samples(self) -> Iterable[Sample]:
        return (Sample("", {}, self._value.get(), None, None),)


class _PlainHistogram(Histogram):
    """As the library's, which looks at every bound in turn and takes a lock for each of its numbers: several are
    observed for each message of Pilot's."""

    def _metric_init(self) -> None:
        self._guard = Lock()
        self._counts = [0] * len(self._upper_bounds)
        self._total = 0.0

    def observe(self, amount: float, exemplar: Any = None) -> None:
        """Count an amount."""
        with self._guard:
            self._total += amount
            self._counts[bisect_left(self._upper_bounds, amount)] += 1

    def _child_samples(self) -> Iterable[Sample]:
        with self._guard:
            counts, total = tuple(self._counts), self._total
        *_, count = sums = [float(one) for one in accumulate(counts)]
        for bound, upto in zip(self._upper_bounds, sums, strict=True):
            yield Sample("_bucket", {"le": floatToGoString(bound)}, upto)  # type: ignore[no-untyped-call]
        yield Sample("_count", {}, count)
        yield Sample("_sum", {}, total)


def _once(name: str, make: Callable[[], _M]) -> _M:
    if name not in _made:
        _made[name] = make()
        if _meter is not None:
            _observe(name)
    metric: _M = _made[name]
    return metric


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> _ExactCounter:
    """A number that only grows."""
    return _once(name, lambda: _ExactCounter(name, documentation, labels, registry=REGISTRY))


def gauge(name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
    """A number that goes up and down."""
    return _once(name, lambda: Gauge(name, documentation, labels, registry=REGISTRY))


def histogram(
    name: str, documentation: str, labels: Sequence[str] = (), buckets: Sequence[float] = Histogram.DEFAULT_BUCKETS
) -> Histogram:
    """A distribution; `buckets` are upper bounds in the metric's unit."""
    return _once(name, lambda: _PlainHistogram(name, documentation, labels, buckets=buckets, registry=REGISTRY))


def render() -> bytes:
    """The registry in Prometheus' text format 0.0.4."""
    lines: list[str] = []
    for metric in REGISTRY.collect():
        kind = "untyped" if metric.type == "unknown" else metric.type
        text = metric.documentation.replace("\\", r"\\").replace("\n", r"\n")
        name = _exposed_name(metric)
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [_line(sample) for sample in metric.samples if not sample.name.endswith("_created")]
    return ("\n".join(lines) + "\n").encode()


def _exposed_name(metric: Metric) -> str:
    if metric.type == "counter" and any(sample.name == f"{metric.name}_total" for sample in metric.samples):
        return f"{metric.name}_total"
    return metric.name


def _line(sample: Sample) -> str:
    labels = ",".join(f'{key}="{_escape(value)}"' for key, value in sorted(sample.labels.items()))
    value: str = floatToGoString(sample.value)  # type: ignore[no-untyped-call]
    return f"{sample.name}{{{labels}}} {value}" if labels else f"{sample.name} {value}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def observe_with(meter: Any) -> None:
    """Let an OpenTelemetry meter read the counters and gauges of this registry at each export, later ones too."""
    global _meter
    _meter = meter
    for name in _made:
        _observe(name)


def _observe(name: str) -> None:
    from opentelemetry.metrics import Observation

    metric = _made[name]

    def observations(_: Any) -> list[Any]:
        samples = (sample for family in metric.collect() for sample in family.samples)
        return [Observation(sample.value, sample.labels) for sample in samples]

    if isinstance(metric, Counter):
        _meter.create_observable_counter(name, callbacks=[observations])
    elif isinstance(metric, Gauge):
        _meter.create_observable_gauge(name, callbacks=[observations])
