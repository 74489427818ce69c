"""Query parameters of reads and writes, with the API server's odd rules.

A boolean is false when absent, "0" or "false" in any case, and true for anything else, the empty text too (Python
clients send `watch=True`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from meshcore.errors import ErrorCode

from galley.core.kube_api import status

_LONGEST_SECONDS = 366 * 24 * 3600
"""A longer watch than this is the same to everybody; a number without end would not fit a `timedelta`."""


_DIGITS = 18
"""Of a number: databases take no more than 2^63 for one."""


class FieldValidation(StrEnum):
    """What to do about fields that the kind does not have."""

    IGNORE = "Ignore"
    WARN = "Warn"
    STRICT = "Strict"


_VALIDATIONS = {validation.value: validation for validation in FieldValidation}


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write is meant; `field_manager` is who to record as author of the fields."""

    dry_run: bool = False
    field_validation: FieldValidation = FieldValidation.WARN
    field_manager: str = ""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """A list or a watch. `revision` None means "not said"; 0 means "whatever you have"."""

    watch: bool = False
    bookmarks: bool = False
    revision: int | None = None
    exact: bool = False
    limit: int = 0
    continue_token: str = ""
    label_selector: str = ""
    field_selector: str = ""
    timeout: timedelta | None = None
    include_object: str = "Metadata"


def parse_boolean(text: str | None) -> bool:
    """The API server's reading of a boolean parameter."""
    return text is not None and text.lower() not in ("0", "false")


def parse_write_options(query: Mapping[str, str], dry_run_values: tuple[str, ...]) -> WriteOptions:
    """Read a write's options; `dry_run_values` are all values of `dryRun` in the query and in a DELETE's body."""
    check_dry_run(dry_run_values)
    wanted = query.get("fieldValidation") or FieldValidation.WARN.value
    validation = _VALIDATIONS.get(wanted)
    if validation is None:
        raise status.bad_request(
            f'fieldValidation: Unsupported value: "{wanted}": supported values: "Ignore", "Strict", "Warn"'
        )
    return WriteOptions(bool(dry_run_values), validation, query.get("fieldManager", ""))


def check_dry_run(values: tuple[str, ...]) -> None:
    """`All` is the only way to run dry."""
    if wrong := [value for value in values if value != "All"]:
        message = f'dryRun: Unsupported value: "{wrong[0]}": supported values: "All"'
        raise status.StatusError(ErrorCode.INVALID, 422, "Invalid", message)


def parse_read_options(query: Mapping[str, str]) -> ReadOptions:
    """Read a list's or watch's options; what cannot be read is a 400."""
    return ReadOptions(
        watch=parse_boolean(query.get("watch")),
        bookmarks=parse_boolean(query.get("allowWatchBookmarks")),
        revision=_number(query, "resourceVersion"),
        exact=query.get("resourceVersionMatch") == "Exact",
        limit=_number(query, "limit") or 0,
        continue_token=query.get("continue", ""),
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        timeout=_seconds(query, "timeoutSeconds"),
        include_object=query.get("includeObject") or "Metadata",
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise status.bad_request(f'{name}: Invalid value: "{text[:80]}": must be a whole number')
    return int(text)


def _seconds(query: Mapping[str, str], name: str) -> timedelta | None:
    seconds = _number(query, name)
    return timedelta(seconds=min(seconds, _LONGEST_SECONDS)) if seconds else None
