"""Times as Kubernetes writes them."""

from datetime import UTC, datetime


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second: `2026-03-01T09:00:00Z`."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{in_utc.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
