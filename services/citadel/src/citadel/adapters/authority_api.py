"""The authority on the admin API: its state, its audit log, who holds which bundle, and the rotation of the root."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import Caller, Page, Role, require
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.adapters.admin_api import CertificateDocument, Viewer, described
from citadel.adapters.audit_log import audit_page
from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.holders import read_holders
from citadel.adapters.root_rotation import RootRotation
from citadel.adapters.root_store import utc
from citadel.core.rotation import Outstanding, is_connected, name_of

Admin = Annotated[Caller, Depends(require(Role.ADMIN))]


class AuthorityDocument(BaseModel):
    """What signs, and what is trusted: its own roots, those of workloads' signers, and foreign ones by peers alone.

    `refusal` says why the files of a plugged-in authority are not in use.
    """

    trust_domain: str
    kind: Literal["self-signed", "plugged-in"]
    key_id: str
    key: str
    signer: CertificateDocument
    intermediates: list[CertificateDocument]
    roots: list[CertificateDocument]
    registered_roots: list[CertificateDocument]
    foreign_roots: list[CertificateDocument]
    revocation_lists: int
    bundle_digest: str
    refusal: str


class HolderDocument(BaseModel):
    """Who follows the bundle. `current`: it acknowledged the one that is in force."""

    name: str
    connected: bool
    current: bool
    bundle: str
    serial: str
    signer: str
    not_after: datetime
    seen_at: datetime


class OutstandingDocument(BaseModel):
    """Whom a rotation waits for; `absent`: nothing but `without` its name will change that."""

    name: str
    reason: str
    until: datetime
    absent: bool


class RotationDocument(BaseModel):
    """Where a rotation is; `phase` is null without one."""

    phase: str | None
    started_at: datetime | None
    started_by: str
    without: list[str]
    waiting_for: list[OutstandingDocument]


class RotationRequest(BaseModel):
    """How to begin a rotation, or whom not to wait for any longer."""

    without: list[str] = Field(default_factory=list, max_length=10_000)
    key: Literal["ecdsa", "rsa"] | None = None


class AuditEntry(BaseModel):
    """Something that was done to the authority."""

    id: int
    at: datetime
    actor: str
    action: str
    detail: str


def authority_router(
    trust_domain: str,
    in_force: AuthorityInForce,
    engine: AsyncEngine,
    rotation: RootRotation | None,
    refusal: Callable[[], str],
) -> APIRouter:
    """The routes under `/api/v1/ca`; `rotation` is None for a plugged-in authority."""
    router = APIRouter(prefix="/api/v1/ca", tags=["citadel"])

    def own_root() -> RootRotation:
        if rotation is None:
            raise MeshError(
                ErrorCode.FAILED_PRECONDITION,
                "the authority is plugged in: put the new root beside the old one into root-cert.pem, replace the "
                "signing certificate when all holders have both, then take the old root away",
            )
        return rotation

    @router.get("")
    async def get_authority(_: Viewer) -> AuthorityDocument:
        """The authority in force."""
        authority = in_force.current
        return AuthorityDocument(
            trust_domain=trust_domain,
            kind="plugged-in" if rotation is None else "self-signed",
            key_id=authority.key_id,
            key=f"{type(authority.key).__name__.lstrip('_').removesuffix('PrivateKey')} {authority.key.key_size}",
            signer=described(authority.certificate),
            intermediates=[described(one) for one in authority.intermediates],
            roots=[described(one) for one in authority.roots],
            registered_roots=[described(one) for one in authority.registered],
            foreign_roots=[described(one) for one in authority.foreign],
            revocation_lists=len(authority.revoked),
            bundle_digest=authority.bundle_digest,
            refusal=refusal(),
        )

    @router.get("/holders")
    async def list_holders(_: Viewer) -> Page[HolderDocument]:
        """Everybody that follows the trust bundle."""
        now, digest = datetime.now(UTC), in_force.current.bundle_digest
        async with engine.connect() as connection:
            found = await read_holders(connection)
        return Page(
            items=[
                HolderDocument(
                    name=name_of(one.identity, one.node),
                    connected=is_connected(one, now),
                    current=one.bundle == digest,
                    bundle=one.bundle,
                    serial=one.serial,
                    signer=one.signer,
                    not_after=one.not_after,
                    seen_at=one.seen_at,
                )
                for one in found
            ]
        )

    @router.get("/audit")
    async def list_audit(
        _: Viewer,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[int | None, Query(alias="continue")] = None,
    ) -> Page[AuditEntry]:
        """What was done, the newest first."""
        page = await audit_page(engine, limit, before)
        items = [AuditEntry.model_validate(row | {"at": utc(row["at"])}) for row in page.items]
        return Page(items=items, continue_=page.continue_)

    @router.get("/rotation")
    async def get_rotation(_: Viewer) -> RotationDocument:
        """Where the rotation of the root is, and whom it waits for."""
        return await _standing(own_root())

    @router.get("/rotation/prospects")
    async def get_prospects(_: Viewer) -> Page[OutstandingDocument]:
        """Whom a rotation that began now would wait for."""
        return Page(items=[_outstanding(one) for one in await own_root().prospects()])

    @router.post("/rotation")
    async def begin_rotation(caller: Admin, request: RotationRequest) -> RotationDocument:
        """Begin a rotation, or have the one that runs wait for fewer."""
        await own_root().begin(caller.user, request.without, request.key)
        return await _standing(own_root())

    @router.delete("/rotation")
    async def abort_rotation(caller: Admin) -> RotationDocument:
        """Give up a rotation whose new root signs nothing yet."""
        await own_root().abort(caller.user)
        return await _standing(own_root())

    return router


async def _standing(rotation: RootRotation) -> RotationDocument:
    found = await rotation.standing()
    return RotationDocument(
        phase=None if found.phase is None else found.phase.value,
        started_at=found.started_at,
        started_by=found.started_by,
        without=list(found.without),
        waiting_for=[_outstanding(one) for one in found.waiting_for],
    )


def _outstanding(one: Outstanding) -> OutstandingDocument:
    return OutstandingDocument(name=one.name, reason=one.reason, until=one.until, absent=one.absent)
