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
