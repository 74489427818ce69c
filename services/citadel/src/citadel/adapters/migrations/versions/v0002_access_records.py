"""Access records of proxies."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INDICES = {
    "access_record_by_time": ["received_at"],
    "access_record_by_verdict": ["verdict", "id"],
    "access_record_by_principal": ["principal", "id"],
    "access_record_by_policy": ["policy", "id"],
    "access_record_by_audit_policy": ["audit_policy", "id"],
}


def upgrade() -> None:
    """Add the three tables of the access log."""
    op.create_table(
        "access_record",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reporter", sa.String(1024), nullable=False),
        sa.Column("instance", sa.String(253), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("protocol", sa.String(16), nullable=False),
        sa.Column("principal", sa.String(1024), nullable=False),
        sa.Column("request_principal", sa.String(512), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("method", sa.String(32), nullable=False),
        sa.Column("authority", sa.String(256), nullable=False),
        sa.Column("path", sa.String(512), nullable=False),
        sa.Column("response_code", sa.Integer, nullable=False),
        sa.Column("response_flags", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(512), nullable=False),
        sa.Column("policy", sa.String(507), nullable=False),
        sa.Column("rule", sa.Integer, nullable=False),
        sa.Column("audit_policy", sa.String(507), nullable=False),
        sa.Column("audit_rule", sa.Integer, nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sqlite_autoincrement=True,
    )
    for name, columns in _INDICES.items():
        op.create_index(name, "access_record", columns)
    op.create_table(
        "access_batch",
        sa.Column("reporter", sa.String(1024), primary_key=True),
        sa.Column("batch_id", sa.String(64), primary_key=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("access_batch_by_time", "access_batch", ["received_at"])
    op.create_table(
        "access_reporter",
        sa.Column("reporter", sa.String(1024), primary_key=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("lost", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Refuse: the access log is evidence."""
    raise RuntimeError("the access log is not taken away")
