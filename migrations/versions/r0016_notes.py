"""Notes of sources about their jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; jobs of older versions have no notes."""
    op.add_column("origin", sa.Column("notes", sa.Text, nullable=False, server_default=sa.text("''")))
