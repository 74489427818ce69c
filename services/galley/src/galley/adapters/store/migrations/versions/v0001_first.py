"""The first tables: objects, history, change sets, outbox, audit, lease, meta."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "meta",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("store_id", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("config_revision", sa.BigInteger, nullable=False),
        sa.Column("config_digest", sa.Text, nullable=False),
        sa.Column("watch_floor", sa.BigInteger, nullable=False),
        sa.Column("history_floor", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "objects",
        sa.Column("key", word, primary_key=True),
        sa.Column("api_group", word, nullable=False),
        sa.Column("plural", word, nullable=False),
        sa.Column("namespace", word, nullable=False),
        sa.Column("name", word, nullable=False),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("config_revision", sa.BigInteger, nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("normalised", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("record_digest", sa.Text),
    )
    op.create_index("objects_by_name", "objects", ["api_group", "plural", "namespace", "name"])
    op.create_table(
        "history",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", word, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("lasting", sa.Boolean, nullable=False),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("config_revision", sa.BigInteger, nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("status", sa.Text),
        sa.Column("previous_labels", sa.Text),
    )
    op.create_index("history_by_key", "history", ["key", "revision"])
    op.create_table(
        "change_sets",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text, nullable=False),
        sa.Column("committed", sa.BigInteger, nullable=False),
        sa.Column("is_config", sa.Boolean, nullable=False),
        sa.Column("previous", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("keys", sa.Text, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", word, primary_key=True),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("operations", sa.Text, nullable=False),
    )
    op.create_table(
        "lease",
        sa.Column("name", word, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("fencing", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop every table."""
    for name in ("lease", "audit", "outbox", "change_sets", "history", "objects", "meta"):
        op.drop_table(name)
