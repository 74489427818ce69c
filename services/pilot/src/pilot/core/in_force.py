"""What bounds a process of Pilot now, each bound with the reason for its value. Pure.

An operator who meets a bound wants to know which variable it came from, or that none did: `meshctl check` shows both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pilot.core.admission import Admission
from pilot.core.debounce import Debounce
from pilot.core.throttle import Throttle

THROTTLE, RATE, WORKERS = "PILOT_PUSH_THROTTLE", "PILOT_MAX_REQUESTS_PER_SECOND", "PILOT_WORKERS"
AFTER, LONGEST, ENDPOINTS = "PILOT_DEBOUNCE_AFTER", "PILOT_DEBOUNCE_MAX", "PILOT_ENABLE_EDS_DEBOUNCE"


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable of the environment: the value in use as an operator writes it, and whether the environment has it."""

    variable: str
    text: str
    named: bool

    def __str__(self) -> str:
        return f"{self.variable}={self.text}" if self.named else f"{self.variable} is not set"


@dataclass(frozen=True, slots=True)
class Bound:
    """Something that is in force in one process; `value` is None where nothing bounds it."""

    name: str
    value: float | None
    unit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The settings that bounds come from, and how many processes share what is asked of one Pilot."""

    throttle: Setting
    rate: Setting
    after: Setting
    longest: Setting
    endpoints: Setting
    workers: Setting
    sharing: int


def bounds(
    asked: Asked, admission: Admission, throttle: Throttle, config: Debounce, endpoints: Debounce
) -> Sequence[Bound]:
    """What is in force, read from the parts that hold to it; `asked` only says why."""
    return (
        _push_throttle(asked, throttle.at_once),
        _rate(asked, admission.per_second),
        _admission(asked, admission),
        Bound("debounce_after", config.quiet, "seconds", _default(asked.after)),
        Bound("debounce_max", config.longest, "seconds", _default(asked.longest)),
        _endpoint_debounce(asked, endpoints.quiet),
        _workers(asked),
    )


def _push_throttle(asked: Asked, at_once: int) -> Bound:
    if at_once == 0:
        why = f"{asked.throttle}: adaptive, as many as clients take; compiles take turns, endpoints first"
        return Bound("push_throttle", None, "concurrent pushes", why)
    return Bound("push_throttle", at_once, "concurrent pushes", _ceiling(asked, asked.throttle))


def _rate(asked: Asked, per_second: float) -> Bound:
    if per_second <= 0:
        why = f"{asked.rate}: adaptive, as fast as this machine and the clients bear"
        return Bound("new_streams_per_second", None, "new streams per second", why)
    return Bound("new_streams_per_second", per_second, "new streams per second", _ceiling(asked, asked.rate))


def _admission(asked: Asked, admission: Admission) -> Bound:
    name, unit = "admission_limit", "new streams at once"
    if admission.ceiling and admission.limit >= admission.ceiling:
        return Bound(name, admission.limit, unit, _ceiling(asked, asked.throttle))
    why = f"adaptive: as many as this process serves without being late, {admission.most} at most"
    if admission.most == admission.ceiling:
        why += f" ({_ceiling(asked, asked.throttle)})"
    return Bound(name, admission.limit, unit, why)


def _endpoint_debounce(asked: Asked, together: float) -> Bound:
    if together <= 0:
        return Bound("endpoint_debounce", None, "seconds", f"{asked.endpoints}: each change of endpoints goes at once")
    why = f"{asked.endpoints}: changes that follow each other are pushed once in debounce_after"
    return Bound("endpoint_debounce", together, "seconds", why)


def _workers(asked: Asked) -> Bound:
    if asked.sharing == 1:
        return Bound("workers", 1, "processes", f"{asked.workers}: one process serves")
    return Bound("workers", asked.sharing, "processes", f"{asked.workers}, or --workers {asked.sharing}")


def _ceiling(asked: Asked, setting: Setting) -> str:
    if asked.sharing == 1:
        return f"{setting}: a hard ceiling"
    least = ", at least one each" if setting is asked.throttle and int(setting.text) < asked.sharing else ""
    return f"{setting}: a hard ceiling shared by {asked.sharing} workers{least}"


def _default(setting: Setting) -> str:
    return str(setting) if setting.named else f"{setting}: Istio's default"
