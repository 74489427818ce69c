"""What `meshctl check` shows: findings, the tables, and the document of `-o json`. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from meshctl.core.certificates import left
from meshctl.core.check.authority import Certificate, authority_findings, certificates
from meshctl.core.check.finding import Finding, Level
from meshctl.core.check.observed import Observed, Service
from meshctl.core.check.pilots import age, pilot_findings
from meshctl.core.check.proxies import proxy_findings, standing
from meshctl.core.check.services import service_findings

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
_GOOD = "✔ No issues found: services are ready, Pilot serves what Galley has, and every proxy has it."


def findings(observed: Observed) -> list[Finding]:
    """Everything that is wrong, errors first."""
    found = [
        *service_findings(observed),
        *pilot_findings(observed),
        *proxy_findings(observed),
        *authority_findings(observed),
    ]
    return sorted(found, key=lambda one: one.level is not Level.ERROR)


def document(observed: Observed, found: Sequence[Finding]) -> dict[str, Any]:
    """The form of `-o json`; docs/check.md has it."""
    return {
        "ok": not found,
        "client": {"version": observed.client},
        "services": [
            {
                "name": one.name,
                "state": state_of(one),
                "version": one.release,
                "admin": one.admin,
            }
            for one in observed.services
        ],
        "pilots": observed.processes,
        "proxies": standing(observed.proxies.document) if observed.proxies.known else None,
        "certificates": [one.document(observed.at) for one in certificates(observed)],
        "findings": [one.document() for one in found],
    }


def state_of(service: Service) -> str:
    """`ready`, `not ready`, or `silent`: it does not answer."""
    if not service.readiness.known:
        return "silent"
    return "ready" if service.ready else "not ready"


def tables(observed: Observed) -> Iterator[Table]:
    """Services; what each process of Pilot serves; what bounds them and why; certificates of the control plane."""
    yield (
        ("SERVICE", "STATE", "VERSION", "ADMIN"),
        [(one.name, state_of(one), one.release or "-", one.admin or "-") for one in observed.services],
    )
    if observed.processes:
        yield _served(observed)
        yield _bounds(observed)
    if shown := [one for one in certificates(observed) if one.role != "workload"]:
        yield ("CERTIFICATE", "OF", "LEFT"), [_certificate(one, observed) for one in shown]


def closing(found: Sequence[Finding]) -> list[str]:
    """A line for each finding, or that there is none."""
    return [str(one) for one in found] or [_GOOD]


def summary(observed: Observed) -> list[str]:
    """Lines beside the tables: versions and proxies."""
    lines = [f"client version: {observed.client}"]
    if observed.proxies.known:
        counts = standing(observed.proxies.document)
        versions = ", ".join(f"{count} of {version or 'no version'}" for version, count in counts["versions"].items())
        told = f"{counts['connected']} connected, {counts['synced']} in sync, {counts['refusing']} refuse something"
        lines.append(f"proxies: {told}" + (f" ({versions})" if versions else ""))
    return lines


def _served(observed: Observed) -> Table:
    rows = []
    for one in observed.processes:
        config, proxies = one["config"], one["proxies"]
        source = {"bus": "Galley", "disk": "copy on disk", "none": "nowhere"}[config["source"]]
        feed = "in sync" if config["in_sync"] else "connected" if config["connected"] else "disconnected"
        counts = [str(proxies[name]) for name in ("connected", "synced", "refusing", "waiting")]
        generation = f"{config['revision']} ({config['generation']})"
        rows.append((one["pilot"], generation, source, feed, age(one, observed.at), *counts))
    columns = ("PILOT", "REVISION (GENERATION)", "FROM", "FEED", "AGE", "PROXIES", "IN SYNC", "REFUSING", "WAITING")
    return columns, rows


def _bounds(observed: Observed) -> Table:
    """What is the same in all processes is told once."""
    said: dict[tuple[str, str, str], list[str]] = {}
    for one in observed.processes:
        for bound in one["bounds"]:
            value = "none" if bound["value"] is None else f"{bound['value']:g} {bound['unit']}"
            said.setdefault((bound["name"], value, bound["reason"]), []).append(one["pilot"])
    rows = [
        ("all" if len(names) == len(observed.processes) else ", ".join(names), name, value, reason)
        for (name, value, reason), names in said.items()
    ]
    return ("PILOT", "IN FORCE", "VALUE", "WHY"), rows


def _certificate(one: Certificate, observed: Observed) -> tuple[str, str, str]:
    return one.role, one.name, left(one.not_after, observed.at)
