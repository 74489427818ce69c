"""Delegates of VirtualServices."""

from collections.abc import Mapping
from typing import Any

from meshcore.model.virtual_service import HttpMatchRequest
from pilot.core.delegated_match import delegated_matches


def _matches(given: Mapping[str, Any]) -> Any:
    root, leaf = (tuple(map(HttpMatchRequest.model_validate, given[name])) for name in ("root", "delegate"))
    found = delegated_matches(root, leaf)
    if found is None:
        raise ValueError("conflict")
    return [match.model_dump(exclude_defaults=True, by_alias=True) for match in found]


TOPICS = {"vs-delegate-merge-match": _matches}
