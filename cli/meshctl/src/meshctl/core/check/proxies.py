"""How proxies stand: connected, in sync, refusing, and of which version. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshctl.core.check.finding import Finding, Level, listed
from meshctl.core.check.observed import PILOT, Observed
from meshctl.core.proxy_status import refusals, sync_state

Row = Mapping[str, Any]


def standing(rows: Sequence[Row]) -> dict[str, Any]:
    """How many there are, by how they stand and by version."""
    return {
        "connected": len(rows),
        "synced": sum(bool(row["synced"]) for row in rows),
        "refusing": sum(_refuses(row) for row in rows),
        "versions": dict(sorted(Counter(str(row["istio_version"]) for row in rows).items())),
    }


def proxy_findings(observed: Observed) -> Iterator[Finding]:
    """Of all that are connected."""
    rows = observed.proxies.document or ()
    for row in rows:
        if _refuses(row):
            yield Finding(
                Level.ERROR,
                "ProxyRefuses",
                row["proxy"],
                "; ".join(refusals([row])),
                "the config that made what it refuses is mended, and the proxy takes the next version",
                passing=True,
            )
    late = [
        f"{row['proxy']} ({', '.join(name.upper() for name in _unanswered(row)) or 'nothing sent yet'})"
        for row in rows
        if not row["synced"] and not _refuses(row)
    ]
    if late:
        yield Finding(
            Level.WARNING,
            "ProxyBehind",
            "proxies",
            f"{len(late)} have not acknowledged what they were sent: {listed(late)}",
            "each answers within a second; an Envoy that does not may be out of processor time, or waits for endpoints",
            passing=True,
        )
    yield from _skew(observed, rows)


def _skew(observed: Observed, rows: Sequence[Row]) -> Iterator[Finding]:
    """Proxies of stock Istio count versions of their own, which begin with another number."""
    running = {_numbers(one.release) for one in observed.of_kind(PILOT) if one.release}
    majors = {numbers[:1] for numbers in running}
    other: dict[str, list[str]] = {}
    for row in rows:
        numbers = _numbers(str(row["istio_version"]))
        if numbers[:1] in majors and numbers not in running:
            other.setdefault(str(row["istio_version"]), []).append(str(row["proxy"]))
    for version, names in sorted(other.items()):
        yield Finding(
            Level.WARNING,
            "ProxyVersion",
            "proxies",
            f"{len(names)} of version {version}, which is not Pilot's: {listed(names)}",
            "proxies are started again with the agent of the control plane's version",
        )


def _numbers(version: str) -> tuple[str, ...]:
    """The first two numbers: patches of one release go together."""
    return tuple(version.split(".")[:2])


def _refuses(row: Row) -> bool:
    return any(resource.get("lastError") or resource.get("heldBack") for resource in row["resources"].values())


def _unanswered(row: Row) -> list[str]:
    return [name for name, resource in row["resources"].items() if sync_state(resource) in ("STALE", "NOT SENT")]
