"""Citadel's part of the admin API: the trust bundle and the ledger."""

from datetime import UTC, datetime
from typing import Annotated

from cryptography.hazmat.primitives import hashes
from fastapi import APIRouter, Depends, Query, Response
from meshcore.http import Caller, Page, Role, entity_tag, require
from pydantic import BaseModel

from citadel.adapters.ledger import Ledger
from citadel.adapters.trust_bundles import TrustBundle
from citadel.core.authority import Authority

_Viewer = Annotated[Caller, Depends(require(Role.VIEWER))]


class RootCertificate(BaseModel):
    """One root of the trust bundle."""

    subject: str
    serial: str
    fingerprint_sha256: str
    not_before: datetime
    not_after: datetime


class TrustBundleDocument(BaseModel):
    """What peers of this trust domain verify with."""

    trust_domain: str
    revision: int
    pem: str
    roots: list[RootCertificate]


class IssuedCertificate(BaseModel):
    """One row of the ledger; times are UTC."""

    serial: str
    identity: str
    profile: str
    proof: str
    peer: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    issued_at: datetime


def admin_router(trust_domain: str, authority: Authority, bundle: TrustBundle, ledger: Ledger) -> APIRouter:
    """The routes under `/api/v1`."""
    router = APIRouter(prefix="/api/v1", tags=["citadel"])

    @router.get("/trust-bundle")
    async def get_trust_bundle(_: _Viewer, response: Response) -> TrustBundleDocument:
        """Every root that certificates of this mesh are verified with."""
        response.headers["ETag"] = entity_tag(bundle.revision)
        return TrustBundleDocument(
            trust_domain=trust_domain,
            revision=bundle.revision,
            pem=bundle.pem,
            roots=[
                RootCertificate(
                    subject=root.subject.rfc4514_string(),
                    serial=f"{root.serial_number:032x}",
                    fingerprint_sha256=root.fingerprint(hashes.SHA256()).hex(),
                    not_before=root.not_valid_before_utc,
                    not_after=root.not_valid_after_utc,
                )
                for root in authority.roots
            ],
        )

    @router.get("/certificates")
    async def list_certificates(
        _: _Viewer,
        identity: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[str | None, Query(alias="continue")] = None,
    ) -> Page[IssuedCertificate]:
        """Certificates in the ledger that are still valid, by serial number."""
        page = await ledger.page(identity, limit, after)
        return Page(
            items=[IssuedCertificate(**{k: _utc(v) for k, v in row.items()}) for row in page.items],
            continue_=page.continue_,
        )

    return router


def _utc(value: object) -> object:
    # SQLite keeps no zone; what Citadel writes is UTC.
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
