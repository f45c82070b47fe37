"""Receipts of filters, idempotent requests, the audit trail, and monotonic time."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the columns and tables; the next start of the server converts deadlines of open jobs to monotonic time."""
    with op.batch_alter_table("job") as job:
        job.drop_column("boot")
        job.add_column(sa.Column("ended_ticks", sa.Double))
        job.add_column(sa.Column("images_kept", sa.Boolean, nullable=False, server_default=sa.true()))
    with op.batch_alter_table("step") as step:
        step.add_column(sa.Column("receipt", sa.String(16), nullable=False, server_default=sa.text("''")))
        step.add_column(sa.Column("checks", sa.Integer, nullable=False, server_default="0"))
        step.add_column(sa.Column("longest_gap", sa.Double, nullable=False, server_default="0"))
        step.add_column(sa.Column("stopped_after", sa.Double))
    op.create_table(
        "request",
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("message_id", sa.String(2048), nullable=False),
        sa.Column("verb", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("ticks", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("owner", "message_id", name="pk_request"),
    )
    op.create_index("ix_request_ticks", "request", ["ticks"])
    op.create_table(
        "audit",
        sa.Column("seq", SERIAL, nullable=False, autoincrement=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("who", sa.String(512), nullable=False),
        sa.Column("proof", sa.String(16), nullable=False),
        sa.Column("verb", sa.String(16), nullable=False),
        sa.Column("token", sa.String(255), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_token", "audit", ["token"])
    op.create_table(
        "mark",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("boot", sa.String(36), nullable=False),
        sa.Column("uptime", sa.Double, nullable=False),
        sa.Column("ticks", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mark"),
    )
    _forbid_changes("audit")


def _forbid_changes(table: str) -> None:
    """Create triggers that reject changes of the audit trail."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"EXECUTE FUNCTION {table}_append_only()"
    )
