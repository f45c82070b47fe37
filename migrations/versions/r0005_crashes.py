"""The number of runs of a filter that ended by a crash, and whether the last one was suspended."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both columns; a run that is in progress counts as suspended, since older versions did not record a crash."""
    with op.batch_alter_table("step") as step:
        step.add_column(sa.Column("crashes", sa.Integer, nullable=False, server_default="0"))
        step.add_column(sa.Column("suspended", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(sa.text("UPDATE step SET suspended = true WHERE state = 'Processing'"))
