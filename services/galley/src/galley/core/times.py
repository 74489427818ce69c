"""Times as Kubernetes writes them."""

from datetime import UTC, datetime


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second: `2026-03-01T09:00:00Z`."""
    return f"{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"
