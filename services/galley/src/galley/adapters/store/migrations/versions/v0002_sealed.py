"""Confidential objects: their content, encrypted, beside the public part."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("objects", sa.Column("sealed", sa.LargeBinary))


def downgrade() -> None:
    """Drop it, with what is in it."""
    op.drop_column("objects", "sealed")
