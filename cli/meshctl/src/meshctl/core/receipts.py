"""What a convergence receipt says, in the terms of the command line. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Convergence:
    """One revision.

    `proxies` had to get it; `took` is the time from Galley's commit to the last ACK (zero when it concerned no proxy);
    `waiting` are the proxies still out, with what they wait for, `failed` those that refused it, `silent` the Pilots
    that did not answer, `left_out` the objects that Pilot could not take.
    """

    revision: int
    complete: bool
    proxies: int
    took: timedelta
    waiting: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def read_receipt(document: Mapping[str, Any]) -> Convergence:
    """A receipt of Pilot's `/api/v1/changes/{revision}/receipt`."""
    return Convergence(
        revision=int(document["revision"]),
        complete=bool(document["complete"]),
        proxies=int(document["proxies"]["count"]),
        took=timedelta(milliseconds=float(document["convergence_ms"] or 0)),
        waiting=tuple(_named(proxy, document["stages"].get(proxy)) for proxy in document["outstanding"]),
        failed=tuple(f"{refusal['proxy']} ({refusal['type']}: {refusal['error']})" for refusal in document["failed"]),
        silent=tuple(document["instances_missing"]),
        left_out=tuple(f"{one['config']} ({one['error']})" for one in document.get("left_out", ())),
    )


def _named(proxy: str, stage: str | None) -> str:
    return f"{proxy} ({stage})" if stage else proxy
