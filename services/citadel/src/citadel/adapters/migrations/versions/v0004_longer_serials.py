"""Serial numbers of signers outside, which may have 160 bits."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for them; SQLite takes any length."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for table, column, nullable in (
        ("issuance", "serial", False),
        ("issuance", "ended", True),
        ("holder", "serial", False),
    ):
        op.alter_column(table, column, type_=sa.String(40), existing_nullable=nullable)


def downgrade() -> None:
    """Refuse: numbers would be cut."""
    raise RuntimeError("serial numbers are not cut")
