"""The tables of processes that share a database. `postscan.migrations` creates the same ones."""

from __future__ import annotations

import sqlalchemy as sa

from postscan.core.store.schema import METADATA, UtcDateTime

MEMBER = sa.Table(
    "member",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("folder", sa.String(36), nullable=False),
    sa.Column("settings", sa.String(64), nullable=False),
    sa.Column("beat", UtcDateTime, nullable=False),
)
"""The members of a cluster, one row for each process; `id` is new at each start, `folder` identifies the data folder,
`settings` is a hash of what must be the same in all, `beat` is the time of the database when the process last wrote."""

ARRIVING = sa.Table(
    "arriving",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("member", sa.String(36), nullable=False),
    sa.Column("token", sa.String(36), nullable=False),
    sa.Column("owner", sa.String(512), nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
    sa.Index(None, "token"),
    sa.Index(None, "owner"),
)
"""Images that arrive at one of several servers (`arriving`); on PostgreSQL the table is not logged, on SQLite empty."""

ENDPOINT = sa.Table(
    "endpoint",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("instance", sa.BigInteger, nullable=False),
)
"""One row, on PostgreSQL: the name by which devices recognise the servers of this database, and the number of the last
run that was announced."""

MISS = sa.Table(
    "miss",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("who", sa.String(512), nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Index(None, "who", "at"),
    sa.Index(None, "at"),
)
"""Requests of a minute with a token that is not the caller's (`misses`); on PostgreSQL not logged, on SQLite empty."""

UNNUMBERED_EVENT = sa.Table(
    "unnumbered_event",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("token", sa.ForeignKey("job.token", ondelete="CASCADE"), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("fields", sa.JSON, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("progress", sa.SmallInteger, nullable=False),
    sa.Index(None, "token", "version"),
)
"""Events of jobs that have no number yet, on PostgreSQL: `event` gets them from here (`numbering`). `progress` is 1 at
the last event of a change since which the job is in progress, -1 since which it is no more."""
