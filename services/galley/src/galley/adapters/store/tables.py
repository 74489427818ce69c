"""The tables of Galley's store, as the newest migration leaves them. Times are microseconds since 1970, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()

WORD = Text().with_variant(Text(collation="C"), "postgresql")
"""Sorted by bytes on every database, as the pages of a list are."""

meta = Table(
    "meta",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("store_id", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("config_revision", BigInteger, nullable=False),
    Column("config_digest", Text, nullable=False),
    Column("watch_floor", BigInteger, nullable=False),
    Column("history_floor", BigInteger, nullable=False),
)

objects = Table(
    "objects",
    metadata,
    Column("key", WORD, primary_key=True),
    Column("api_group", WORD, nullable=False),
    Column("plural", WORD, nullable=False),
    Column("namespace", WORD, nullable=False),
    Column("name", WORD, nullable=False),
    Column("uid", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("config_revision", BigInteger, nullable=False),
    Column("object", Text, nullable=False),
    Column("normalised", Text),
    Column("status", Text),
    Column("record_digest", Text),
    Column("sealed", LargeBinary),
    Index("objects_by_name", "api_group", "plural", "namespace", "name"),
)

history = Table(
    "history",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("key", WORD, nullable=False),
    Column("type", Text, nullable=False),
    Column("lasting", Boolean, nullable=False),
    Column("uid", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("config_revision", BigInteger, nullable=False),
    Column("object", Text, nullable=False),
    Column("status", Text),
    Column("previous_labels", Text),
    Index("history_by_key", "key", "revision"),
)

change_sets = Table(
    "change_sets",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("author", Text, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("committed", BigInteger, nullable=False),
    Column("is_config", Boolean, nullable=False),
    Column("previous", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("keys", Text, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("key", WORD, primary_key=True),
    Column("record", LargeBinary, nullable=False),
    Column("deleted", Boolean, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("revision", BigInteger),
    Column("outcome", Text, nullable=False),
    Column("operations", Text, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("name", WORD, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("fencing", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
)
