"""What the spool keeps of each job and for each owner, as sums; and indexes that hold the rows of one question."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SWEPT = "ended_ticks IS NOT NULL"
INDEXES = {
    "ix_job_unswept": (["state", "created"], "ended_ticks IS NULL"),
    "ix_job_open": (["owner"], "completed IS NULL"),
    "ix_job_ended": (["completed"], "completed IS NOT NULL"),
    "ix_job_swept": (["ended_ticks", "token"], SWEPT),
    "ix_job_without_files": (["ended_ticks", "token"], f"{SWEPT} AND kept_bytes = 0"),
    "ix_job_disposable": (
        ["ended_ticks", "token"],
        f"{SWEPT} AND kept_bytes > 0 AND state IN ('Completed', 'Canceled')",
    ),
    "ix_job_timed_out": (
        ["ended_ticks", "token"],
        f"""{SWEPT} AND kept_bytes > 0 AND CAST(reasons AS TEXT) = '["PostScanJobTimedOut"]'""",
    ),
}


def upgrade() -> None:
    """Add the sums, compute them, and replace the indexes of all jobs."""
    op.add_column("job", sa.Column("kept_bytes", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "usage",
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("kept_bytes", sa.BigInteger, nullable=False),
        sa.Column("disposable_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_usage"),
    )
    op.drop_index("ix_job_state_created", "job")
    op.drop_index("ix_job_owner_state", "job")
    op.execute(
        "UPDATE job SET kept_bytes = (SELECT SUM(size) FROM document WHERE document.token = job.token) "
        "WHERE images_kept AND EXISTS (SELECT 1 FROM document WHERE document.token = job.token)"
    )
    op.execute(
        "UPDATE job SET kept_bytes = kept_bytes + (SELECT COALESCE(SUM(size), 0) FROM "
        "(SELECT DISTINCT blob, size FROM made WHERE made.token = job.token AND NOT EXISTS "
        "(SELECT 1 FROM document WHERE document.token = made.token AND document.blob = made.blob)) AS new) "
        "WHERE completed IS NULL AND EXISTS (SELECT 1 FROM made WHERE made.token = job.token)"
    )
    op.execute(
        "INSERT INTO usage SELECT owner, SUM(kept_bytes), "
        "SUM(CASE WHEN state IN ('Completed', 'Canceled') THEN kept_bytes ELSE 0 END) "
        "FROM job WHERE kept_bytes > 0 GROUP BY owner"
    )
    for name, (columns, where) in INDEXES.items():
        op.create_index(name, "job", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    repository = sa.text("token IS NULL")
    op.create_index(
        "ix_event_of_repository", "event", ["kind", "seq"], sqlite_where=repository, postgresql_where=repository
    )
