"""The tables of sources. `postscan.migrations` creates the same ones."""

from __future__ import annotations

import sqlalchemy as sa

from postscan.core.store.schema import METADATA, UtcDateTime

ORIGIN = sa.Table(
    "origin",
    METADATA,
    sa.Column("token", sa.String(36), primary_key=True),
    sa.Column("inlet", sa.String(64), nullable=False),
    sa.Column("key_hash", sa.String(64)),
    sa.Column("proof", sa.String(16), nullable=False),
    sa.Column("subject", sa.String(512), nullable=False),
    sa.Column("account", sa.String(255), nullable=False),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("until", sa.Double, nullable=False),
    sa.Column("with_job", sa.Boolean, nullable=False),
    sa.Column("told", sa.String(16), nullable=False, server_default=sa.text("''")),
    sa.Column("notes", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Index("uq_origin_inlet_key_hash", "inlet", "key_hash", unique=True),
    sa.Index(None, "until"),
)
"""The origin of each job that a source made. A row may outlive its job, so `token` refers to nothing; `key_hash` is
null when the key is free. `until` is the tick at which the row is looked at again, or the key is forgotten. `notes` has
a line for each note of the source."""

DESTINATION = sa.Table(
    "destination",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(36), nullable=False),
)
"""The random identifier of each destination that the settings ever had. Rows are kept: a device may know one."""

INLET = sa.Table(
    "inlet",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("stopped", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("quarantine", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("state", sa.String(16), nullable=False, server_default=sa.text("''")),
    sa.Column("detail", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("changed", UtcDateTime),
    sa.Column("pulls", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("last_job", UtcDateTime),
    sa.Column("pull", sa.String(64)),
    sa.Column("orders", sa.Integer, nullable=False, server_default="0"),
)
"""What administrators have ordered of an inlet, and how it is. `stopped`: an administrator has stopped it.
`quarantine` says why it is not started any more, `pull` holds the identifier of a destination to which a scan is
ordered, "" for any; `pulls` says whether the source fetches scans. `orders` counts the orders to stop and to start."""
