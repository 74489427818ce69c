"""Rotation of the root: signers, receipts, audit."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a rotation needs to know."""
    op.create_table(
        "signer",
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("certificate", sa.Text, nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "rotation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("phase", sa.String(32), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_by", sa.String(256), nullable=False),
        sa.Column("without", sa.Text, nullable=False),
    )
    op.create_table(
        "holder",
        sa.Column("identity", sa.String(1024), primary_key=True),
        sa.Column("node", sa.String(512), primary_key=True),
        sa.Column("bundle", sa.String(16), nullable=False),
        sa.Column("serial", sa.String(32), nullable=False),
        sa.Column("signer", sa.String(64), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("connected", sa.Boolean, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "setting",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    for column in (
        sa.Column("signer", sa.String(64), nullable=False, server_default=""),
        sa.Column("bundle", sa.String(16), nullable=False, server_default=""),
        sa.Column("ended", sa.String(32)),
    ):
        op.add_column("issuance", column)


def downgrade() -> None:
    """Refuse: receipts and the audit log are evidence."""
    raise RuntimeError("what a rotation needs to know is not taken away")
