"""Tables of the access log: what proxies let through or refused, as their agents report it."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, String, Table

from citadel.adapters.tables import metadata

access_record = Table(
    "access_record",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("reporter", String(1024), nullable=False),
    Column("instance", String(253), nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("protocol", String(16), nullable=False),
    Column("principal", String(1024), nullable=False),
    Column("request_principal", String(512), nullable=False),
    Column("source", String(64), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("method", String(32), nullable=False),
    Column("authority", String(256), nullable=False),
    Column("path", String(512), nullable=False),
    Column("response_code", Integer, nullable=False),
    Column("response_flags", String(64), nullable=False),
    Column("reason", String(512), nullable=False),
    Column("policy", String(507), nullable=False),
    Column("rule", Integer, nullable=False),
    Column("audit_policy", String(507), nullable=False),
    Column("audit_rule", Integer, nullable=False),
    Column("request_id", String(64), nullable=False),
    Index("access_record_by_time", "received_at"),
    Index("access_record_by_verdict", "verdict", "id"),
    Index("access_record_by_principal", "principal", "id"),
    Index("access_record_by_policy", "policy", "id"),
    Index("access_record_by_audit_policy", "audit_policy", "id"),
    sqlite_autoincrement=True,
)
"""`id` is the order of storing and never used twice. Policies are `<namespace>/<name>`, or empty."""

access_batch = Table(
    "access_batch",
    metadata,
    Column("reporter", String(1024), primary_key=True),
    Column("batch_id", String(64), primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Index("access_batch_by_time", "received_at"),
)
"""Batches that are stored, for as long as a reporter may send one again."""

access_reporter = Table(
    "access_reporter",
    metadata,
    Column("reporter", String(1024), primary_key=True),
    Column("reported_at", DateTime(timezone=True), nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
)
"""How much each identity has reported, and how much of it its agents had to drop."""
