"""Accounts of sources."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; the hashes in it are those of argon2."""
    op.create_table(
        "account",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("hash", sa.String(255), nullable=False),
        sa.Column("user_sid", sa.String(255), nullable=False),
        sa.Column("inlets", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_account"),
    )
