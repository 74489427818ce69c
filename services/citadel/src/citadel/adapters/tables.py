"""Citadel's tables: the authority's keys (sealed) and the ledger of what was issued."""

from sqlalchemy import Column, DateTime, Index, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

authority = Table(
    "authority",
    metadata,
    Column("slot", String(32), primary_key=True),
    Column("certificate", Text, nullable=False),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
"""`slot` names the place of a signer; two first starts at once race for `root`, and one of them gets it."""

issuance = Table(
    "issuance",
    metadata,
    Column("serial", String(32), primary_key=True),
    Column("identity", String(1024), nullable=False),
    Column("profile", String(32), nullable=False),
    Column("proof", String(32), nullable=False),
    Column("peer", String(256), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("not_before", DateTime(timezone=True), nullable=False),
    Column("not_after", DateTime(timezone=True), nullable=False),
    Column("issued_at", DateTime(timezone=True), nullable=False),
    Index("issuance_by_identity", "identity", "issued_at"),
    Index("issuance_by_end", "not_after"),
)
"""One row per certificate, durable before the certificate leaves. `serial` and `fingerprint` (SHA-256) are hex."""
