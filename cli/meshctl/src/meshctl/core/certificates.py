"""Certificates, holders of the trust bundle and a rotation of the root as tables. Pure: times come in."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
Document = Mapping[str, Any]


def moment(text: str) -> datetime:
    """A time of the admin API."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def left(until: datetime, now: datetime) -> str:
    """How long something is valid yet, in its two largest units; `expired` when it is not."""
    rest = until - now
    if rest <= timedelta():
        return "expired"
    seconds = int(rest.total_seconds())
    days, hours, minutes = seconds // 86400, seconds % 86400 // 3600, seconds % 3600 // 60
    if days:
        return f"{days}d{hours}h"
    return f"{hours}h{minutes}m" if hours else f"{minutes}m{seconds % 60}s"


def state_of(row: Document, now: datetime) -> str:
    """What has become of a certificate: `valid`, `replaced`, `released`, `rotated` or `expired`."""
    if moment(row["not_after"]) <= now:
        return "expired"
    ended = row.get("ended")
    if not ended:
        return "valid"
    return str(ended) if ended in ("released", "rotated") else "replaced"


def certificate_rows(rows: Sequence[Document], now: datetime) -> Table:
    """A line for each certificate of the ledger."""
    columns = ("SERIAL", "IDENTITY", "STATE", "LEFT", "PROOF", "ISSUED", "PEER")
    return columns, [
        (
            row["serial"],
            row["identity"],
            state_of(row, now),
            left(moment(row["not_after"]), now),
            row["proof"],
            f"{moment(row['issued_at']):%Y-%m-%d %H:%M:%S}",
            row["peer"],
        )
        for row in rows
    ]


def field_lines(row: Document, now: datetime) -> list[str]:
    """Everything that the ledger has of one certificate, a line for each."""
    shown = {"state": state_of(row, now), "left": left(moment(row["not_after"]), now)} | dict(row)
    width = max(map(len, shown))
    return [f"{name:{width}}  {'-' if value is None else value}" for name, value in shown.items()]


def authority_lines(authority: Document, now: datetime) -> list[str]:
    """What signs, and which roots are trusted."""
    signer = authority["signer"]
    lines = [
        f"trust domain  {authority['trust_domain']}",
        f"authority     {authority['kind']}, {authority['key']}, key {authority['key_id'][:16]}",
        f"signer        {signer['subject']} serial {signer['serial']}, {left(moment(signer['not_after']), now)} left",
    ]
    lines += [f"intermediate  {_certificate(one, now)}" for one in authority["intermediates"]]
    lines += [f"root          {_certificate(one, now)}" for one in authority["roots"]]
    lines += [f"signer's root {_certificate(one, now)}" for one in authority["registered_roots"]]
    lines += [f"foreign root  {_certificate(one, now)}" for one in authority["foreign_roots"]]
    if authority["revocation_lists"]:
        lines.append(f"revocation    {authority['revocation_lists']} lists")
    lines.append(f"bundle        {authority['bundle_digest']}")
    if authority["refusal"]:
        lines.append(f"REFUSED       {authority['refusal']}")
    return lines


def holder_rows(holders: Sequence[Document], now: datetime) -> Table:
    """A line for each that follows the trust bundle."""
    columns = ("HOLDER", "BUNDLE", "STREAM", "LEFT", "SEEN")
    return columns, [
        (
            one["name"],
            "current" if one["current"] else (one["bundle"] or "none"),
            "open" if one["connected"] else "closed",
            left(moment(one["not_after"]), now),
            f"{moment(one['seen_at']):%Y-%m-%d %H:%M:%S}",
        )
        for one in holders
    ]


def outstanding_rows(waiting: Sequence[Document], now: datetime) -> Table:
    """A line for each that a rotation waits for."""
    columns = ("NAME", "REASON", "LEFT")
    return columns, [(one["name"], one["reason"], left(moment(one["until"]), now)) for one in waiting]


def blocked(waiting: Sequence[Document]) -> list[str]:
    """Names that nothing will remove from the list but `--without`."""
    return [str(one["name"]) for one in waiting if one["absent"]]


def summary(rotation: Document) -> str:
    """Where a rotation is, in a line."""
    phase, waiting = rotation["phase"], len(rotation["waiting_for"])
    if phase is None:
        return "no rotation of the root is running"
    what = "confirmations of the new root" if phase == "distributing" else "certificates of the old root"
    return f"{phase}: {waiting} {what} outstanding"


def _certificate(one: Document, now: datetime) -> str:
    return f"{one['subject']} {one['fingerprint_sha256'][:16]}, {left(moment(one['not_after']), now)} left"
