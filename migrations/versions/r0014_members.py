"""Processes that share the database; which of them runs a job, and how often the job was taken in hand."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both columns and the table; a job that is in progress has no holder, so the next server resumes it."""
    op.add_column("job", sa.Column("holder", sa.String(36), nullable=False, server_default=sa.text("''")))
    op.add_column("job", sa.Column("turn", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "member",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("folder", sa.String(36), nullable=False),
        sa.Column("settings", sa.String(64), nullable=False),
        sa.Column("beat", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_member"),
    )
