"""The spool that belongs to the database."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; it stays empty until the next start of a server."""
    op.create_table(
        "spool",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("identifier", sa.String(36), nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_spool"),
    )
