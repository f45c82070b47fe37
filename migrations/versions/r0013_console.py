"""People at the console: roles, sessions, links, tokens; indexes for pages of jobs; mails about jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_PAGES_OF_JOBS = {
    "ix_job_open_created": "completed IS NULL",
    "ix_job_failed": (
        "kept_bytes > 0 AND (state = 'Aborted' OR CAST(reasons AS TEXT) = '[\"PostScanJobCompletedWithErrors\"]')"
    ),
}


def upgrade() -> None:
    """Add the tables; the accounts of older versions are those of owners, who see their own jobs."""
    op.add_column("account", sa.Column("role", sa.String(16), nullable=False, server_default="owner"))
    op.create_table(
        "console_session",
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("proof", sa.String(16), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("user_sid", sa.String(255), nullable=False),
        sa.Column("way", sa.String(16), nullable=False),
        sa.Column("stamp", sa.String(64), nullable=False),
        sa.Column("begun", _TIME, nullable=False),
        sa.Column("seen", _TIME, nullable=False),
        sa.Column("confirmed", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("secret_hash", name="pk_console_session"),
    )
    op.create_table(
        "login_link",
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("user_sid", sa.String(255), nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("used", _TIME),
        sa.PrimaryKeyConstraint("secret_hash", name="pk_login_link"),
    )
    op.create_table(
        "api_token",
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("user_sid", sa.String(255), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("created_by", sa.String(512), nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("label", name="pk_api_token"),
        sa.UniqueConstraint("secret_hash", name="uq_api_token_secret_hash"),
    )
    for name, where in _PAGES_OF_JOBS.items():
        condition = sa.text(where)
        op.create_index(name, "job", ["created", "token"], sqlite_where=condition, postgresql_where=condition)
    op.create_table(
        "job_mail",
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("sid", sa.String(255), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_job_mail"),
        sa.ForeignKeyConstraint(["token"], ["job.token"], name="fk_job_mail_token_job", ondelete="CASCADE"),
    )
    op.create_index("ix_job_mail_token", "job_mail", ["token"])
    op.create_table(
        "job_mail_cursor",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_mail_cursor"),
    )
