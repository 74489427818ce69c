"""Certificates that end soon, and who does not follow the trust bundle. Pure.

What renews itself has been renewed long before it ends, so that little is left means that renewal fails.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from meshctl.core.certificates import blocked, left, moment
from meshctl.core.check.finding import Finding, Level, listed
from meshctl.core.check.observed import Observed
from meshctl.core.mesh_objects import ROOT_NAMESPACE

CONTROL_PLANE = ("galley", "pilot", "citadel", "injector")
SOON = timedelta(days=30)
"""Of an authority's certificate at most so much is left when it ends soon."""
PART_OF_AUTHORITY = 0.1
"""And at most this part of its life. Citadel renews its own root in the last fifth."""
PART_OF_LEAF = 0.25
"""Leaves are renewed at half of their life."""
UNKNOWN_LIFE = timedelta()
"""A leaf that is not in the ledger was signed by somebody else, for as long as they like: it counts once it is over."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One that is in use: `role` is `root`, `intermediate`, `signer`, `service` or `workload`."""

    role: str
    name: str
    not_after: datetime
    little: timedelta
    """It ends soon when no more than this is left."""

    def document(self, now: datetime) -> dict[str, Any]:
        """The form of `-o json`."""
        return {
            "role": self.role,
            "name": self.name,
            "not_after": f"{self.not_after:%Y-%m-%dT%H:%M:%SZ}",
            "left_seconds": int((self.not_after - now).total_seconds()),
            "ends_soon": self.ends_soon(now),
        }

    def ends_soon(self, now: datetime) -> bool:
        """Whether too little is left."""
        return self.not_after - now <= self.little


def certificates(observed: Observed) -> list[Certificate]:
    """The authority's own, and what holders of the trust bundle show; Citadel's own from its ledger."""
    authority = observed.authority.document or {}
    found = [
        Certificate(role, one["subject"], moment(one["not_after"]), _little(one, PART_OF_AUTHORITY, SOON))
        for role, ones in (
            ("root", (*authority.get("roots", ()), *authority.get("registered_roots", ()))),
            ("intermediate", authority.get("intermediates", ())),
            ("signer", (authority["signer"],) if authority else ()),
        )
        for one in ones
    ]
    rows = {row["serial"]: row for row in observed.certificates.document or ()}
    for holder in (observed.holders.document or {}).get("items", ()):
        if holder["connected"]:
            row, until = rows.get(holder["serial"]), moment(holder["not_after"])
            little = UNKNOWN_LIFE if row is None else _little(row, PART_OF_LEAF)
            found.append(Certificate(_role(holder["name"]), holder["name"], until, little))
    own = [row for row in rows.values() if row["identity"].endswith(_account("citadel"))]
    if own:
        newest = max(own, key=lambda row: str(row["issued_at"]))
        found.append(
            Certificate("service", newest["identity"], moment(newest["not_after"]), _little(newest, PART_OF_LEAF))
        )
    return found


def authority_findings(observed: Observed) -> Iterator[Finding]:
    """What ends, what is not in use, and who lags behind."""
    workloads: list[str] = []
    for one in certificates(observed):
        if not one.ends_soon(observed.at):
            continue
        if one.role == "workload":
            workloads.append(f"{_short(one.name)} ({left(one.not_after, observed.at)})")
        else:
            yield _ends(one, observed.at)
    if workloads:
        yield Finding(
            Level.WARNING,
            "CertificateEnds",
            "workloads",
            f"certificates of {len(workloads)} workloads were not renewed at half of their life: {listed(workloads)}",
            "agents reach Citadel, and what proves them (a token) is valid; their logs say what it answered",
        )
    authority = observed.authority.document or {}
    if authority.get("refusal"):
        yield Finding(
            Level.ERROR,
            "AuthorityRefused",
            "citadel",
            f"the files of the plugged-in authority are not in use: {authority['refusal']}",
            "certificate, key and roots belong together; Citadel signs with the pair of before until then",
        )
    yield from _holders(observed)


def _ends(one: Certificate, now: datetime) -> Finding:
    over = one.not_after <= now
    when = "has expired" if over else f"ends in {left(one.not_after, now)}"
    if one.role == "service":
        what, code = "it is renewed at half of its life; its log says what Citadel answered", "CertificateEnds"
    else:
        what, code = (
            "`meshctl ca rotate` replaces a root of Citadel's own; of a plugged-in one the operator replaces the files",
            "AuthorityEnds",
        )
    subject = f"{one.role} {_short(one.name)}"
    return Finding(Level.ERROR if over else Level.WARNING, code, subject, f"its certificate {when}", what)


def _holders(observed: Observed) -> Iterator[Finding]:
    holders = (observed.holders.document or {}).get("items", ())
    lagging = [_short(one["name"]) for one in holders if one["connected"] and not one["current"]]
    rotation = observed.rotation.document or {}
    if lagging:
        yield Finding(
            Level.WARNING,
            "BundleNotCurrent",
            "trust bundle",
            f"{len(lagging)} have not taken the trust bundle that is in force: {listed(lagging)}",
            "each takes it within seconds; its log says why it refuses",
            passing=True,
        )
    stuck = blocked(rotation.get("waiting_for", ()))
    if stuck:
        yield Finding(
            Level.WARNING,
            "RotationWaits",
            "rotation of the root",
            f"it waits for {len(stuck)} that are away: {listed(map(_short, stuck))}",
            "they come back, or `meshctl ca rotate --without NAME` waits for them no longer",
        )
    unheard = {
        service.name
        for service in observed.services
        if service.ours
        and service.ready
        and service.kind != "citadel"
        and observed.holders.known
        and not any(
            one["connected"] and one["name"].partition(" ")[0].endswith(_account(service.kind)) for one in holders
        )
    }
    if unheard:
        yield Finding(
            Level.WARNING,
            "BundleNotFollowed",
            listed(unheard),
            "it does not follow the trust bundle: a new root, or a list of revoked certificates, does not reach it",
            "the service reaches Citadel (the variable ..._CITADEL_ADDRESS); its log says what fails",
            passing=True,
        )


def _little(one: Mapping[str, Any], part: float, most: timedelta | None = None) -> timedelta:
    # A leaf begins before it is issued, for clocks that lag: of a short one that is a large part.
    begin, end = moment(one.get("issued_at", one["not_before"])), moment(one["not_after"])
    little = (end - begin) * part
    return little if most is None else min(little, most)


def _role(name: str) -> str:
    identity = name.partition(" ")[0]
    return "service" if any(identity.endswith(_account(one)) for one in CONTROL_PLANE) else "workload"


def _account(service: str) -> str:
    return f"/ns/{ROOT_NAMESPACE}/sa/{service}"


def _short(name: str) -> str:
    """Of a holder its identity's path and its node; of anything else all."""
    identity, _, node = name.partition(" ")
    if not identity.startswith("spiffe://"):
        return name
    path = identity.split("/", 3)[-1]
    return f"{path} {node}".strip()
