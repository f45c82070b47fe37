"""What a directory says of the user of a job, for the filters."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both columns; the users of earlier jobs have neither."""
    op.add_column("job", sa.Column("user_display_name", sa.String(255), nullable=False, server_default=sa.text("''")))
    op.add_column("job", sa.Column("user_home_folder", sa.String(1024), nullable=False, server_default=sa.text("''")))
