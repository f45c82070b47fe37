"""Documents that filters create for the filters after them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of such documents; no existing step has any."""
    with op.batch_alter_table("step") as step:
        step.add_column(sa.Column("transformed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "made",
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("place", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("format", sa.String(255), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("blob", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["token"], ["job.token"], name="fk_made_token_job", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token", "position", "place", name="pk_made"),
    )
