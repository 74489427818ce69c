"""Authority and ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "authority",
        sa.Column("slot", sa.String(32), primary_key=True),
        sa.Column("certificate", sa.Text, nullable=False),
        sa.Column("sealed_key", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "issuance",
        sa.Column("serial", sa.String(32), primary_key=True),
        sa.Column("identity", sa.String(1024), nullable=False),
        sa.Column("profile", sa.String(32), nullable=False),
        sa.Column("proof", sa.String(32), nullable=False),
        sa.Column("peer", sa.String(256), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("issuance_by_identity", "issuance", ["identity", "issued_at"])
    op.create_index("issuance_by_end", "issuance", ["not_after"])


def downgrade() -> None:
    """Refuse: the ledger is evidence, and the authority cannot be made again."""
    raise RuntimeError("the first tables are not taken away")
