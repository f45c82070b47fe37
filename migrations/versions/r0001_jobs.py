"""Jobs, their filter steps, documents, deliveries and events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "job",
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("owner_proof", sa.String(16), nullable=False),
        sa.Column("user_sid", sa.String(255), nullable=False),
        sa.Column("user_name", sa.String(255), nullable=False),
        sa.Column("user_mail", sa.String(255), nullable=False),
        sa.Column("process_id", sa.String(255), nullable=False),
        sa.Column("process_name", sa.String(255), nullable=False),
        sa.Column("document_root", sa.String(255), nullable=False),
        sa.Column("continue_on_error", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("completed", MOMENT),
        sa.Column("deadline", sa.Double, nullable=False),
        sa.Column("boot", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_job"),
    )
    op.create_index("ix_job_state_created", "job", ["state", "created"])
    op.create_index("ix_job_owner_state", "job", ["owner", "state"])
    op.create_table(
        "step",
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("dialect", sa.Text, nullable=False),
        sa.Column("xml", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("progress", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("token", "position", name="pk_step"),
        sa.ForeignKeyConstraint(["token"], ["job.token"], name="fk_step_token_job", ondelete="CASCADE"),
    )
    op.create_table(
        "document",
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("format", sa.String(255), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("blob", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("token", "id", name="pk_document"),
        sa.ForeignKeyConstraint(["token"], ["job.token"], name="fk_document_token_job", ondelete="CASCADE"),
    )
    op.create_table(
        "delivery",
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("document", sa.Integer, nullable=False),
        sa.Column("destination", sa.String(2048), nullable=False),
        sa.Column("name", sa.String(2048), nullable=False),
        sa.Column("published", sa.Boolean, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("token", "position", "document", "destination", name="pk_delivery"),
        sa.ForeignKeyConstraint(["token"], ["job.token"], name="fk_delivery_token_job", ondelete="CASCADE"),
    )
    op.create_table(
        "event",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_event"),
        sa.ForeignKeyConstraint(["token"], ["job.token"], name="fk_event_token_job", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_token_seq", "event", ["token", "seq"])
