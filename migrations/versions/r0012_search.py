"""Indexes for searches: jobs by creation, of all users and of one, and by the destinations of their outputs."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the indexes."""
    op.create_index("ix_job_created_token", "job", ["created", "token"])
    op.create_index("ix_job_user_sid_created_token", "job", ["user_sid", "created", "token"])
    op.create_index("ix_delivery_destination_token", "delivery", ["destination", "token"])
