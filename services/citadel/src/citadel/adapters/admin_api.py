"""Citadel's part of the admin API: the trust bundle, the ledger, and the state of the authority."""

from datetime import datetime
from typing import Annotated

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from fastapi import APIRouter, Depends, Query, Response
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import Caller, Page, Role, entity_tag, require
from pydantic import BaseModel

from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.ledger import Ledger
from citadel.adapters.root_store import utc
from citadel.adapters.trust_bundles import TrustBundle

Viewer = Annotated[Caller, Depends(require(Role.VIEWER))]


class CertificateDocument(BaseModel):
    """A certificate of the authority."""

    subject: str
    serial: str
    fingerprint_sha256: str
    not_before: datetime
    not_after: datetime


class TrustBundleDocument(BaseModel):
    """What peers of this trust domain verify with."""

    trust_domain: str
    revision: int
    digest: str
    pem: str
    revoked_pem: str
    roots: list[CertificateDocument]


class IssuedCertificate(BaseModel):
    """One row of the ledger; times are UTC. `ended`: the serial of what followed it, `released` or `rotated`."""

    serial: str
    identity: str
    profile: str
    proof: str
    peer: str
    fingerprint: str
    signer: str
    bundle: str
    ended: str | None
    not_before: datetime
    not_after: datetime
    issued_at: datetime


def admin_router(trust_domain: str, in_force: AuthorityInForce, bundle: TrustBundle, ledger: Ledger) -> APIRouter:
    """The routes under `/api/v1`."""
    router = APIRouter(prefix="/api/v1", tags=["citadel"])

    @router.get("/trust-bundle")
    async def get_trust_bundle(_: Viewer, response: Response) -> TrustBundleDocument:
        """Every root that certificates of this mesh are verified with."""
        response.headers["ETag"] = entity_tag(bundle.revision)
        authority = in_force.current
        return TrustBundleDocument(
            trust_domain=trust_domain,
            revision=bundle.revision,
            digest=authority.bundle_digest,
            pem=bundle.pem,
            revoked_pem=bundle.revoked_pem,
            roots=[described(root) for root in authority.roots],
        )

    @router.get("/certificates")
    async def list_certificates(
        _: Viewer,
        identity: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[str | None, Query(alias="continue")] = None,
    ) -> Page[IssuedCertificate]:
        """Certificates in the ledger that are still valid, by serial number."""
        page = await ledger.page(identity, limit, after)
        return Page(items=[_document(row) for row in page.items], continue_=page.continue_)

    @router.get("/certificates/{serial}")
    async def get_certificate(_: Viewer, serial: str) -> IssuedCertificate:
        """One certificate of the ledger, expired or not."""
        row = await ledger.find(serial.lower().replace(":", "").zfill(32))
        if row is None:
            raise MeshError(ErrorCode.NOT_FOUND, f"no certificate with the serial number {serial} is in the ledger")
        return _document(row)

    return router


def described(certificate: x509.Certificate) -> CertificateDocument:
    """What is shown of a certificate of the authority."""
    return CertificateDocument(
        subject=certificate.subject.rfc4514_string(),
        serial=f"{certificate.serial_number:032x}",
        fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _document(row: dict[str, object]) -> IssuedCertificate:
    return IssuedCertificate.model_validate(
        {name: utc(value) if isinstance(value, datetime) else value for name, value in row.items()}
    )
