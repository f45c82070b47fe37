"""Origins of the jobs that sources make, identifiers of destinations, and inlets."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

FAILED = (
    "ended_ticks IS NOT NULL AND kept_bytes > 0 AND CAST(reasons AS TEXT) "
    """IN ('["PostScanJobTimedOut"]', '["SendImageFailed"]')"""
)


def upgrade() -> None:
    """Add the tables; jobs whose sources failed are found like those whose devices fell silent."""
    op.create_table(
        "origin",
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("inlet", sa.String(64), nullable=False),
        sa.Column("key_hash", sa.String(64)),
        sa.Column("proof", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(512), nullable=False),
        sa.Column("account", sa.String(255), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("with_job", sa.Boolean, nullable=False),
        sa.Column("told", sa.String(16), nullable=False, server_default=sa.text("''")),
        sa.PrimaryKeyConstraint("token", name="pk_origin"),
    )
    op.create_index("uq_origin_inlet_key_hash", "origin", ["inlet", "key_hash"], unique=True)
    op.create_index("ix_origin_until", "origin", ["until"])
    op.create_table(
        "destination",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_destination"),
    )
    op.create_table(
        "inlet",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("stopped", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("quarantine", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("state", sa.String(16), nullable=False, server_default=sa.text("''")),
        sa.Column("detail", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("changed", sa.DateTime(timezone=True)),
        sa.Column("pulls", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("last_job", sa.DateTime(timezone=True)),
        sa.Column("pull", sa.String(64)),
        sa.Column("orders", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("name", name="pk_inlet"),
    )
    op.drop_index("ix_job_timed_out", "job")
    op.create_index(
        "ix_job_timed_out",
        "job",
        ["ended_ticks", "token"],
        sqlite_where=sa.text(FAILED),
        postgresql_where=sa.text(FAILED),
    )
