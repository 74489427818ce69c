"""Every certificate that signs or has signed here: by which a client certificate is known as one of ours."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from citadel.adapters.tables import signer as table
from citadel.core.authority import key_id_of, to_pem


async def note_signer(connection: AsyncConnection, certificate: x509.Certificate) -> None:
    """Add a signer, or its renewed certificate."""
    key_id, pem = key_id_of(certificate), to_pem(certificate)
    found = (await connection.execute(select(table.c.certificate).where(table.c.key_id == key_id))).scalar_one_or_none()
    if found is None:
        values = {"key_id": key_id, "certificate": pem, "added_at": datetime.now(UTC)}
        await connection.execute(insert(table), values)
    elif found != pem:
        await connection.execute(update(table).where(table.c.key_id == key_id).values(certificate=pem))


async def retire_signer(connection: AsyncConnection, key_id: str) -> None:
    """Nothing it signs is recorded from now on, so nothing leaves; certificates of it prove nobody."""
    await connection.execute(update(table).where(table.c.key_id == key_id).values(retired_at=datetime.now(UTC)))


async def active_signers(engine: AsyncEngine) -> Mapping[str, x509.Certificate]:
    """By key id, without the retired ones, and those that have expired: nothing under them is believed any more."""
    async with engine.connect() as connection:
        rows = (await connection.execute(select(table).where(table.c.retired_at.is_(None)))).all()
    found = {row.key_id: x509.load_pem_x509_certificate(row.certificate.encode()) for row in rows}
    now = datetime.now(UTC)
    return {key_id: one for key_id, one in found.items() if now < one.not_valid_after_utc}


async def lock_active(connection: AsyncConnection, key_ids: Iterable[str]) -> frozenset[str]:
    """Which of them may sign; on PostgreSQL none of these can be retired before the transaction ends."""
    query: Any = select(table.c.key_id).where(table.c.key_id.in_(sorted(set(key_ids))), table.c.retired_at.is_(None))
    return frozenset((await connection.execute(query.with_for_update(read=True))).scalars())
