"""The tables. `postscan.migrations` creates the same ones step by step; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from postscan.core.model.states import JobReason, JobState

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

WHOLE_JOB = 0
"""Stands in `delivery.document` for an output of the whole job; document ids begin at 1."""


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A time in UTC, returned with its zone; SQLite stores none."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; raise `ValueError` for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Add the zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


JOB = sa.Table(
    "job",
    METADATA,
    sa.Column("token", sa.String(36), primary_key=True),
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
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("completed", UtcDateTime),
    sa.Column("deadline", sa.Double, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("ended_ticks", sa.Double),
    sa.Column("images_kept", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("kept_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("holder", sa.String(36), nullable=False, server_default=sa.text("''")),
    sa.Column("turn", sa.Integer, nullable=False, server_default="0"),
    sa.Column("user_display_name", sa.String(255), nullable=False, server_default=sa.text("''")),
    sa.Column("user_home_folder", sa.String(1024), nullable=False, server_default=sa.text("''")),
    # For searches, which look at jobs of any state.
    sa.Index(None, "created", "token"),
    sa.Index(None, "user_sid", "created", "token"),
)
"""`kept_bytes` is `Job.kept_bytes`; `ended_ticks` the tick at which the first sweep after its end found the job;
`holder` the process that runs it or ran it last, `turn` how often it was taken in hand."""

# Most jobs have ended long ago, so each of these indexes holds the rows of one question alone. A query uses it if it
# has the condition of the index word for word, which is why these conditions have no parameters.

_DONE: Final[list[sa.ColumnElement[Any]]] = [
    sa.literal_column(f"'{state}'") for state in (JobState.COMPLETED, JobState.CANCELED)
]
_UNFINISHED: Final[list[sa.ColumnElement[Any]]] = [
    sa.literal_column(f"""'["{reason}"]'""") for reason in (JobReason.TIMED_OUT, JobReason.SEND_IMAGE_FAILED)
]

IS_OPEN: Final = JOB.c.completed.is_(None)
HAS_ENDED: Final = JOB.c.completed.is_not(None)
IS_UNSWEPT: Final = JOB.c.ended_ticks.is_(None)
"""Is open, or has ended since the last sweep."""
IS_SWEPT: Final = JOB.c.ended_ticks.is_not(None)
HAS_FILES: Final = JOB.c.kept_bytes > sa.literal_column("0")
HAS_NO_FILES: Final = sa.and_(IS_SWEPT, JOB.c.kept_bytes == sa.literal_column("0"))
IS_DONE: Final = JOB.c.state.in_(_DONE)
IS_DISPOSABLE: Final = sa.and_(IS_SWEPT, HAS_FILES, IS_DONE)
"""Has images that are removed by age and size (D15)."""
IS_UNFINISHED: Final = sa.and_(IS_SWEPT, HAS_FILES, sa.cast(JOB.c.reasons, sa.Text).in_(_UNFINISHED))
"""Has images of a device that fell silent or of a source that failed, which are removed by their own age."""
IS_FAILED: Final = sa.and_(
    HAS_FILES,
    sa.or_(
        JOB.c.state == sa.literal_column(f"'{JobState.ABORTED}'"),
        sa.cast(JOB.c.reasons, sa.Text) == sa.literal_column(f"""'["{JobReason.ERRORS}"]'"""),
    ),
)
"""Has failed, and has images that can be processed again."""


def _index(name: str, where: sa.ColumnElement[bool], *columns: sa.ColumnElement[Any]) -> sa.Index:
    return sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


_index("ix_job_unswept", IS_UNSWEPT, JOB.c.state, JOB.c.created, JOB.c.token)
_index("ix_job_open", IS_OPEN, JOB.c.owner, JOB.c.token)
_index("ix_job_ended", HAS_ENDED, JOB.c.completed)
_index("ix_job_swept", IS_SWEPT, JOB.c.ended_ticks, JOB.c.token)
_index("ix_job_without_files", HAS_NO_FILES, JOB.c.ended_ticks, JOB.c.token)
_index("ix_job_disposable", IS_DISPOSABLE, JOB.c.ended_ticks, JOB.c.token)
_index("ix_job_open_created", IS_OPEN, JOB.c.created, JOB.c.token)
_index("ix_job_failed", IS_FAILED, JOB.c.created, JOB.c.token)
_index("ix_job_timed_out", IS_UNFINISHED, JOB.c.ended_ticks, JOB.c.token)


def is_in(*states: str) -> sa.ColumnElement[bool]:
    """Return the condition that selects jobs in these states; of those that have ended, since the last sweep."""
    return sa.and_(IS_UNSWEPT, JOB.c.state.in_(states))


STEP = sa.Table(
    "step",
    METADATA,
    sa.Column("token", sa.ForeignKey("job.token", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("dialect", sa.Text, nullable=False),
    sa.Column("xml", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.String(24), nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("progress", sa.Text, nullable=False),
    sa.Column("receipt", sa.String(16), nullable=False, server_default=sa.text("''")),
    sa.Column("checks", sa.Integer, nullable=False, server_default="0"),
    sa.Column("longest_gap", sa.Double, nullable=False, server_default="0"),
    sa.Column("stopped_after", sa.Double),
    sa.Column("transformed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("crashes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("suspended", sa.Boolean, nullable=False, server_default=sa.false()),
)

DOCUMENT = sa.Table(
    "document",
    METADATA,
    sa.Column("token", sa.ForeignKey("job.token", ondelete="CASCADE"), primary_key=True),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("format", sa.String(255), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("blob", sa.Text, nullable=False),
)

MADE = sa.Table(
    "made",
    METADATA,
    sa.Column("token", sa.ForeignKey("job.token", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
    sa.Column("format", sa.String(255), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("blob", sa.Text, nullable=False),
)
"""The documents after each step that has `transformed` them, unchanged ones included, in their order."""

USAGE = sa.Table(
    "usage",
    METADATA,
    sa.Column("owner", sa.String(512), primary_key=True),
    sa.Column("kept_bytes", sa.BigInteger, nullable=False),
    sa.Column("disposable_bytes", sa.BigInteger, nullable=False),
)
"""For each owner the sum of `job.kept_bytes`, and that of its Completed and Canceled jobs; no row if both are 0.

Each transaction that changes a job changes them too; a start of the server counts again."""

DELIVERY = sa.Table(
    "delivery",
    METADATA,
    sa.Column("token", sa.ForeignKey("job.token", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("document", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("destination", sa.String(2048), primary_key=True),
    sa.Column("name", sa.String(2048), nullable=False),
    sa.Column("published", sa.Boolean, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index(None, "destination", "token"),
)

EVENT = sa.Table(
    "event",
    METADATA,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("token", sa.ForeignKey("job.token", ondelete="CASCADE")),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("fields", sa.JSON, nullable=False),
    sa.Column("version", sa.Integer, nullable=False, server_default="0"),
    sa.Index(None, "token", "seq"),
    # Numbers are never reused, so that a reader's cursor cannot skip an event.
    sqlite_autoincrement=True,
)
"""Events, in the order of the commits. Events of the repository have no `token`; those of a job have the
`version` that the job got in their commit."""

IS_OF_REPOSITORY: Final = EVENT.c.token.is_(None)

_index("ix_event_of_repository", IS_OF_REPOSITORY, EVENT.c.kind, EVENT.c.seq)

SUBSCRIPTION = sa.Table(
    "subscription",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
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
    sa.Index(None, "owner", "owner_proof"),
    sa.Index(None, "until"),
)
"""Subscriptions to events; `end_url` is null if there is no address for the end of the subscription. A `cancelled` one
was ended by an administrator, and is kept until the server has notified its subscriber."""

REQUEST = sa.Table(
    "request",
    METADATA,
    sa.Column("owner", sa.String(512), primary_key=True),
    sa.Column("message_id", sa.String(2048), primary_key=True),
    sa.Column("verb", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("ticks", sa.Double, nullable=False),
    sa.Index(None, "ticks"),
)

ACCOUNT = sa.Table(
    "account",
    METADATA,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("hash", sa.String(255), nullable=False),
    sa.Column("user_sid", sa.String(255), nullable=False),
    sa.Column("inlets", sa.JSON, nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("changed", UtcDateTime, nullable=False),
    sa.Column("role", sa.String(16), nullable=False, server_default="owner"),
)
"""Accounts that an administrator has added; `changed` is when the password was set."""

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("who", sa.String(512), nullable=False),
    sa.Column("proof", sa.String(16), nullable=False),
    sa.Column("verb", sa.String(16), nullable=False),
    sa.Column("token", sa.String(255), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Index(None, "token"),
    sqlite_autoincrement=True,
)

AUDIT_EXPORTED = sa.Table(
    "audit_exported",
    METADATA,
    sa.Column(
        "seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False, nullable=False
    ),
)
"""The numbers of the lines of `audit` that a transaction deletes, within that transaction; empty at other times."""

JOB_MAIL = sa.Table(
    "job_mail",
    METADATA,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("token", sa.ForeignKey("job.token", ondelete="CASCADE"), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("sid", sa.String(255), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("due", sa.Double, nullable=False),
    sa.Index(None, "token"),
)
"""Mails to users that are to be sent, by the event that led to them; `due` is the tick of the next try."""

JOB_MAIL_CURSOR = sa.Table(
    "job_mail_cursor",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
)
"""One row: the number of the last event that was looked at for mails; none while no mails are sent."""

MARK = sa.Table(
    "mark",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("boot", sa.String(36), nullable=False),
    sa.Column("uptime", sa.Double, nullable=False),
    sa.Column("ticks", sa.Double, nullable=False),
)
"""One row: the steady clock's position when it was last stored."""

SPOOL = sa.Table(
    "spool",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("identifier", sa.String(36), nullable=False),
    sa.Column("place", sa.Text, nullable=False),
)
"""One row: the spool that belongs to this database, and the folder and machine from which it was last served."""
