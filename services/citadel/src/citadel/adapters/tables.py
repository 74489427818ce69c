"""Citadel's tables: the authority's keys (sealed), the ledger, who holds which trust bundle, and what was done."""

from sqlalchemy import Boolean, Column, DateTime, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

authority = Table(
    "authority",
    metadata,
    Column("slot", String(32), primary_key=True),
    Column("certificate", Text, nullable=False),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
"""`slot` is `root`, or `next` while a rotation runs; two first starts at once race for `root`, one of them gets it."""

signer = Table(
    "signer",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("certificate", Text, nullable=False),
    Column("added_at", DateTime(timezone=True), nullable=False),
    Column("retired_at", DateTime(timezone=True)),
)
"""Every certificate that signed here, public. A retired one proves nobody and signs nothing any more."""

rotation = Table(
    "rotation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("phase", String(32), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("started_by", String(256), nullable=False),
    Column("without", Text, nullable=False),
)
"""The rotation that runs: at most one row, number 1. `without` is a JSON list of names that are not waited for."""

holder = Table(
    "holder",
    metadata,
    Column("identity", String(1024), primary_key=True),
    Column("node", String(512), primary_key=True),
    Column("bundle", String(16), nullable=False),
    Column("serial", String(40), nullable=False),
    Column("signer", String(64), nullable=False),
    Column("not_after", DateTime(timezone=True), nullable=False),
    Column("connected", Boolean, nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)
"""Who follows the trust bundle, and what it acknowledged last: the receipts of a rotation."""

setting = Table(
    "setting",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""What must be remembered from start to start, e.g. that the authority was plugged in."""

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", String(256), nullable=False),
    Column("action", String(64), nullable=False),
    Column("detail", Text, nullable=False),
)
"""What was done to the authority, by whom; rows are only ever added."""

issuance = Table(
    "issuance",
    metadata,
    Column("serial", String(40), primary_key=True),
    Column("identity", String(1024), nullable=False),
    Column("profile", String(32), nullable=False),
    Column("proof", String(32), nullable=False),
    Column("peer", String(256), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("signer", String(64), nullable=False, server_default=""),
    Column("bundle", String(16), nullable=False, server_default=""),
    Column("ended", String(40)),
    Column("not_before", DateTime(timezone=True), nullable=False),
    Column("not_after", DateTime(timezone=True), nullable=False),
    Column("issued_at", DateTime(timezone=True), nullable=False),
    Index("issuance_by_identity", "identity", "issued_at"),
    Index("issuance_by_end", "not_after"),
)
"""One row per certificate, durable before the certificate leaves. `serial` and `fingerprint` (SHA-256) are hex.

`ended` is the serial of the certificate that followed it, or `released`; such a leaf is not presented any more.
"""
