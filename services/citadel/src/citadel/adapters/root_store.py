"""The root and, while a rotation runs, its successor: made once, keys sealed in SQL, shared by every replica."""

import json
import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from meshcore.errors import ErrorCode, MeshError
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from citadel.adapters.audit_log import CITADEL, note
from citadel.adapters.signers import note_signer
from citadel.adapters.tables import authority as table
from citadel.adapters.tables import issuance, rotation
from citadel.core.authority import Authority, SigningKey, check_authority, make_root, next_root, renewed_root, to_pem
from citadel.core.rotation import Phase, authority_of
from citadel.core.sealing import NONCE_BYTES, seal, unseal

ROOT_SLOT = "root"
NEXT_SLOT = "next"
RSA_BITS = 2048
Keks = Callable[[], tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class StoredRotation:
    """The rotation that runs."""

    phase: Phase
    started_at: datetime
    changed_at: datetime
    started_by: str
    without: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredRoots:
    """What the database says, read in one transaction."""

    root: Authority
    successor: Authority | None = None
    rotation: StoredRotation | None = None

    @property
    def authority(self) -> Authority:
        """What signs and is trusted now."""
        return authority_of(self.root, self.successor, None if self.rotation is None else self.rotation.phase)


class RootStore:
    """`keks` is asked for the key-encryption keys whenever a key is opened or sealed: the file may have new ones."""

    def __init__(self, engine: AsyncEngine, keks: Keks) -> None:
        self.engine = engine
        self._keks = keks
        self._read: tuple[object, StoredRoots] | None = None

    async def load(self) -> StoredRoots | None:
        """The roots, or None before `init`; FAILED_PRECONDITION when no key-encryption key opens them.

        A key that a former key-encryption key sealed is sealed again with the present one. Cheap when nothing changed.
        """
        async with self.engine.begin() as connection:
            rows = (await connection.execute(select(table).order_by(table.c.slot))).all()
            running = (await connection.execute(select(rotation))).one_or_none()
            stamp = (tuple((row.slot, row.certificate, row.sealed_key) for row in rows), running)
            if self._read is not None and self._read[0] == stamp:
                return self._read[1]
            slots = {row.slot: await self._opened(connection, row) for row in rows}
        if ROOT_SLOT not in slots:
            return None
        found = StoredRoots(slots[ROOT_SLOT], slots.get(NEXT_SLOT), None if running is None else _rotation(running))
        self._read = (stamp, found)
        return found

    async def _opened(self, connection: AsyncConnection, row: Any) -> Authority:
        slot, sealed, pem = row.slot, row.sealed_key, row.certificate
        keks = self._keks()
        # A finished rotation moves `next` to `root`; the purpose bound to the sealed key is that of every slot.
        plain, current = unseal(keks, sealed, _PURPOSE)
        try:
            key = serialization.load_der_private_key(plain, password=None)
            certificate = x509.load_pem_x509_certificate(pem.encode())
        except ValueError:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, f"the stored {slot} is no key and certificate") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "the stored root key is of a kind that does not sign")
        root = Authority(certificate, key, (), (certificate,))
        check_authority(root)
        if not current:
            again = seal(keks[0], plain, _PURPOSE, secrets.token_bytes(NONCE_BYTES))
            await connection.execute(update(table).where(table.c.slot == slot).values(sealed_key=again))
            await note(connection, CITADEL, "key sealed again", f"{slot}: under another key-encryption key")
        return root

    async def ensure(
        self,
        trust_domain: str,
        ttl: timedelta,
        algorithm: str = "ecdsa",
        former: Callable[[], Awaitable[Authority | None]] | None = None,
    ) -> StoredRoots:
        """The roots; if there are none, that of the `former` authority or, without one, a root that is made now.

        Of several that start at once one makes it and all get that one.
        """
        existing = await self.load()
        if existing is not None:
            return existing
        root = None if former is None else await former()
        done = "root made" if root is None else "root taken over"
        if root is None:
            root = make_root(new_signing_key(algorithm), trust_domain, ttl, datetime.now(UTC), new_serial())
        check_authority(root)
        try:
            async with self.engine.begin() as connection:
                await self._insert(connection, ROOT_SLOT, root)
                await note(connection, CITADEL, done, _described(root))
        except IntegrityError:
            other = await self.load()
            if other is None:
                raise
            return other
        return StoredRoots(root)

    async def _insert(self, connection: AsyncConnection, slot: str, authority: Authority) -> None:
        plain = authority.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        values = {
            "slot": slot,
            "certificate": to_pem(authority.certificate),
            "sealed_key": seal(self._keks()[0], plain, _PURPOSE, secrets.token_bytes(NONCE_BYTES)),
            "created_at": datetime.now(UTC),
        }
        await connection.execute(insert(table), values)
        await note_signer(connection, authority.certificate)

    async def renew(self, roots: StoredRoots, ttl: timedelta) -> bool:
        """Give the root a new life under the same key; False when another replica was first, or a rotation runs."""
        renewed = renewed_root(roots.root, ttl, datetime.now(UTC), new_serial())
        former = to_pem(roots.root.certificate)
        async with self.engine.begin() as connection:
            if (await connection.execute(select(rotation.c.id))).one_or_none() is not None:
                return False
            here = (table.c.slot == ROOT_SLOT) & (table.c.certificate == former)
            done = await connection.execute(update(table).where(here).values(certificate=to_pem(renewed.certificate)))
            if done.rowcount != 1:
                return False
            await note_signer(connection, renewed.certificate)
            await note(connection, CITADEL, "root renewed", _described(renewed))
        return True

    async def begin_rotation(self, ttl: timedelta, algorithm: str | None, actor: str, without: Collection[str]) -> None:
        """Make the successor and begin to distribute it; ALREADY_EXISTS when a rotation runs."""
        roots = await self.load()
        if roots is None:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "there is no root yet")
        kind = algorithm or ("rsa" if isinstance(roots.root.key, rsa.RSAPrivateKey) else "ecdsa")
        now = datetime.now(UTC)
        successor = next_root(roots.root, new_signing_key(kind), ttl, now, new_serial())
        values = {
            "id": 1,
            "phase": Phase.DISTRIBUTING.value,
            "started_at": now,
            "changed_at": now,
            "started_by": actor[:256],
            "without": json.dumps(sorted(without)),
        }
        try:
            async with self.engine.begin() as connection:
                await connection.execute(insert(rotation), values)
                await self._insert(connection, NEXT_SLOT, successor)
                # Rows of a time before the ledger knew signers are the root's.
                unknown = update(issuance).where(issuance.c.signer == "").values(signer=roots.root.key_id)
                await connection.execute(unknown)
                await note(connection, actor, "rotation begun", _described(successor))
        except IntegrityError:
            raise MeshError(ErrorCode.ALREADY_EXISTS, "a rotation of the root is already running") from None


_PURPOSE = f"authority/{ROOT_SLOT}"


def _rotation(row: Any) -> StoredRotation:
    return StoredRotation(
        Phase(row.phase),
        utc(row.started_at),
        utc(row.changed_at),
        row.started_by,
        tuple(json.loads(row.without)),
    )


def utc(moment: datetime) -> datetime:
    """SQLite keeps no zone; what Citadel writes is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _described(authority: Authority) -> str:
    end = authority.certificate.not_valid_after_utc
    return f"key {authority.key_id}, serial {authority.certificate.serial_number:032x}, until {end:%Y-%m-%dT%H:%M:%SZ}"


def new_signing_key(algorithm: str) -> SigningKey:
    """A fresh key: `ecdsa` (P-256) or `rsa` (2048 bits)."""
    if algorithm == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def new_serial() -> int:
    """128 random bits, never zero."""
    return secrets.randbits(128) or 1
