"""The token in the indexes of open jobs: a page of them begins behind the last job of the one before."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_job_unswept": (["state", "created", "token"], "ended_ticks IS NULL"),
    "ix_job_open": (["owner", "token"], "completed IS NULL"),
}


def upgrade() -> None:
    """Replace the indexes."""
    for name, (columns, where) in INDEXES.items():
        op.drop_index(name, "job")
        op.create_index(name, "job", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
