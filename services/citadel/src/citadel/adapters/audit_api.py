"""Citadel's admin API of the access log."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from meshcore.http import Caller, Page, Role, require
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.adapters.access_log_reads import Wanted, access_behind, access_page, position, reporters

_Admin = Annotated[Caller, Depends(require(Role.ADMIN))]
_Limit = Annotated[int, Query(ge=1, le=1000)]
_Text = Annotated[str, Query(max_length=1024)]


class AccessVerdict(StrEnum):
    """What became of a request; `audited` was let through and a policy with the action AUDIT matched."""

    ALLOWED = "allowed"
    DENIED = "denied"
    AUDITED = "audited"


class AccessRecord(BaseModel):
    """A request, or a connection that is not read as HTTP.

    `reporter` is proven by certificate; all but `id` and `received_at` is its word. Times are UTC.
    """

    id: int
    received_at: datetime
    started_at: datetime
    reporter: str
    instance: str
    verdict: AccessVerdict
    protocol: str
    principal: str
    request_principal: str
    source: str
    destination: str
    method: str
    authority: str
    path: str
    response_code: int
    response_flags: str
    reason: str
    policy: str = Field(description="`<namespace>/<name>` of the policy that decided; empty when none is named.")
    rule: int
    audit_policy: str = Field(description="`<namespace>/<name>` of a policy with the action AUDIT that matched.")
    audit_rule: int
    request_id: str


class AccessReporter(BaseModel):
    """How much an identity has reported, and how much of it its agents had to drop."""

    reporter: str
    reported_at: datetime
    records: int
    lost: int


def audit_router(engine: AsyncEngine) -> APIRouter:
    """The routes under `/api/v1/audit`."""
    router = APIRouter(prefix="/api/v1/audit", tags=["citadel"])

    @router.get("")
    async def list_access_records(
        _: _Admin,
        principal: _Text = "",
        verdict: AccessVerdict | None = None,
        policy: _Text = "",
        reporter: _Text = "",
        since: AwareDatetime | None = None,
        until: AwareDatetime | None = None,
        limit: _Limit = 100,
        after: Annotated[str | None, Query(alias="continue")] = None,
        behind: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    ) -> Page[AccessRecord]:
        """What proxies refused, what AUDIT policies matched, or all, as the mesh config has it; the newest first.

        `behind` turns the order round: records stored after that `id`, the oldest first, for who follows the log.
        """
        what = verdict.value if verdict is not None else ""
        wanted = Wanted(_plain(principal), what, _plain(policy), _plain(reporter), since, until)
        if behind is None:
            page = await access_page(engine, wanted, limit, after)
        else:
            page = await access_behind(engine, wanted, limit, position(after) if after else behind)
        return Page(items=[AccessRecord(**_in_utc(row)) for row in page.items], continue_=page.continue_)

    @router.get("/reporters")
    async def list_access_reporters(
        _: _Admin, limit: _Limit = 100, after: Annotated[str | None, Query(alias="continue")] = None
    ) -> Page[AccessReporter]:
        """Who reports access records, by identity, and how many of them were lost on the way."""
        page = await reporters(engine, limit, _plain(after or "") or None)
        return Page(items=[AccessReporter(**_in_utc(row)) for row in page.items], continue_=page.continue_)

    return router


def _plain(text: str) -> str:
    # PostgreSQL takes no NUL in a text; nothing that is stored has one.
    return text.replace("\0", "\ufffd")


def _in_utc(row: dict[str, Any]) -> dict[str, Any]:
    # SQLite keeps no zone; what Citadel writes is UTC.
    return {
        key: value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
        for key, value in row.items()
    }
