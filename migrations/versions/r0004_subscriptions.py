"""Events of the repository, the version in an event, and subscriptions."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add version and subscriptions; there are none yet, so no cursor points to an event without a version."""
    # Repeated for the copy that SQLite makes: numbers are never reused.
    with op.batch_alter_table("event", table_kwargs={"sqlite_autoincrement": True}) as event:
        event.add_column(sa.Column("version", sa.Integer, nullable=False, server_default="0"))
        event.alter_column("token", existing_type=sa.String(36), nullable=True)
    op.create_table(
        "subscription",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("port", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("owner_proof", sa.String(16), nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("notify_url", sa.Text, nullable=False),
        sa.Column("notify_address", sa.String(64), nullable=False),
        sa.Column("notify_parameters", sa.Text, nullable=False),
        sa.Column("end_url", sa.Text),
        sa.Column("end_address", sa.String(64)),
        sa.Column("end_parameters", sa.Text),
        sa.Column("actions", sa.JSON, nullable=False),
        sa.Column("manager", sa.Text, nullable=False),
        sa.Column("absolute", sa.Boolean, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.Column("cancelled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_subscription"),
    )
    op.create_index("ix_subscription_owner_owner_proof", "subscription", ["owner", "owner_proof"])
    op.create_index("ix_subscription_until", "subscription", ["until"])
