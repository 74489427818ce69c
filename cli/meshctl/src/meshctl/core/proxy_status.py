"""The table of `meshctl proxy-status`, from Pilot's `/debug/syncz`. Pure."""

from collections.abc import Mapping
from typing import Any

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def proxy_status_table(document: Mapping[str, Any]) -> Table:
    """Columns as `istioctl proxy-status`."""
    raise NotImplementedError(document)
