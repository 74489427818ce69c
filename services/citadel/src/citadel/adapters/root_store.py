"""The root: made once, its key sealed in SQL."""

import secrets
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from meshcore.errors import ErrorCode, MeshError
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.adapters.tables import authority as table
from citadel.core.authority import Authority, SigningKey, check_authority, make_root, to_pem
from citadel.core.sealing import NONCE_BYTES, seal, unseal

ROOT_SLOT = "root"
_PURPOSE = f"authority/{ROOT_SLOT}"
RSA_BITS = 2048


async def load_root(engine: AsyncEngine, kek: bytes) -> Authority | None:
    """The root, or None before `init`; FAILED_PRECONDITION when it was sealed with another key-encryption key."""
    async with engine.connect() as connection:
        row = (await connection.execute(select(table).where(table.c.slot == ROOT_SLOT))).one_or_none()
    if row is None:
        return None
    key = serialization.load_der_private_key(unseal(kek, row.sealed_key, _PURPOSE), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "the stored root key is of a kind that does not sign")
    certificate = x509.load_pem_x509_certificate(row.certificate.encode())
    root = Authority(certificate, key, (), (certificate,))
    check_authority(root)
    return root


async def ensure_root(
    engine: AsyncEngine, kek: bytes, trust_domain: str, ttl: timedelta, algorithm: str = "ecdsa"
) -> Authority:
    """The root, made now if there is none; of several that start at once one makes it and all get that one."""
    existing = await load_root(engine, kek)
    if existing is not None:
        return existing
    key = new_signing_key(algorithm)
    root = make_root(key, trust_domain, ttl, datetime.now(UTC), new_serial())
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    values = {
        "slot": ROOT_SLOT,
        "certificate": to_pem(root.certificate),
        "sealed_key": seal(kek, plain, _PURPOSE, secrets.token_bytes(NONCE_BYTES)),
        "created_at": datetime.now(UTC),
    }
    try:
        async with engine.begin() as connection:
            await connection.execute(insert(table), values)
    except IntegrityError:
        other = await load_root(engine, kek)
        if other is None:
            raise
        return other
    return root


def new_signing_key(algorithm: str) -> SigningKey:
    """A fresh key: `ecdsa` (P-256) or `rsa` (2048 bits)."""
    if algorithm == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def new_serial() -> int:
    """128 random bits, never zero."""
    return secrets.randbits(128) or 1
