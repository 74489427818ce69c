"""The list envelope and the entity tags of the admin API."""

import base64
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from meshcore.errors import ErrorCode, MeshError

T = TypeVar("T")
LARGEST_PAGE = 1000


class Page(BaseModel, Generic[T]):
    """Items of a list; `continue` is given back to get the next ones and is absent on the last page."""

    model_config = ConfigDict(populate_by_name=True)

    items: list[T]
    continue_: str | None = Field(default=None, alias="continue")


def page_of(
    items: Sequence[T], key: Callable[[T], str], limit: int = LARGEST_PAGE, after: str | None = None
) -> Page[T]:
    """The first `limit` items behind the opaque position `after`, in the order of `key`.

    Positions are keys, not offsets: what comes and goes between two pages neither repeats nor hides another item.
    """
    behind = _read_position(after)
    rest = sorted((item for item in items if behind is None or key(item) > behind), key=key)
    shown = rest[: max(1, min(limit, LARGEST_PAGE))]
    more = len(rest) > len(shown)
    return Page(items=list(shown), continue_=_write_position(key(shown[-1])) if more else None)


def _write_position(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _read_position(text: str | None) -> str | None:
    if not text:
        return None
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise MeshError(ErrorCode.INVALID, "continue is not a position that this API gave out") from None


def entity_tag(resource_version: str | int) -> str:
    """The `ETag` of a resource version."""
    return f'"{resource_version}"'


def if_match(header: str | None) -> str | None:
    """The resource version that `If-Match` asks for; None when absent or `*`."""
    if header is None or header.strip() == "*":
        return None
    return header.strip().removeprefix("W/").strip('"')
