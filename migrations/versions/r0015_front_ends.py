"""What several servers on one database share: events without a number, images that arrive, the endpoint, misses."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the tables. The version before goes on numbering its events itself, and takes those without one along.

    It holds the lock of `core.store.cluster.numbering` whenever it writes an event. Without the trigger, an event that
    it writes could get a smaller number than an earlier one of the same job that has none yet.
    """
    is_server = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "arriving",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("member", sa.String(36), nullable=False),
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_arriving"),
        prefixes=["UNLOGGED"] if is_server else [],
    )
    op.create_index("ix_arriving_token", "arriving", ["token"])
    op.create_index("ix_arriving_owner", "arriving", ["owner"])
    op.create_table(
        "miss",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("who", sa.String(512), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_miss"),
        prefixes=["UNLOGGED"] if is_server else [],
    )
    op.create_index("ix_miss_who_at", "miss", ["who", "at"])
    op.create_index("ix_miss_at", "miss", ["at"])
    op.create_table(
        "endpoint",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("instance", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_endpoint"),
    )
    op.create_table(
        "unnumbered_event",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("progress", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_unnumbered_event"),
        sa.ForeignKeyConstraint(["token"], ["job.token"], name="fk_unnumbered_event_token_job", ondelete="CASCADE"),
    )
    op.create_index("ix_unnumbered_event_token_version", "unnumbered_event", ["token", "version"])
    if not is_server:
        return
    # Each row lives for a moment: what is left of them is to be removed often.
    op.execute(
        "ALTER TABLE unnumbered_event SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)"
    )
    op.execute(
        "CREATE FUNCTION number_events_before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT 1 FROM unnumbered_event) THEN "
        "PERFORM set_config('postscan.numbering', 'on', true); "
        "WITH moved AS (DELETE FROM unnumbered_event RETURNING *) "
        "INSERT INTO event (token, kind, at, fields, version) "
        "SELECT token, kind, at, fields, version FROM (SELECT moved.*, min(id) OVER (PARTITION BY token, version) "
        "AS commit FROM moved ORDER BY commit, id) AS ordered; "
        "PERFORM set_config('postscan.numbering', '', true); "
        "NEW.seq := nextval(pg_get_serial_sequence('event', 'seq')); "
        "END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER event_numbered_before BEFORE INSERT ON event FOR EACH ROW "
        "WHEN (NEW.token IS NOT NULL AND current_setting('postscan.numbering', true) IS DISTINCT FROM 'on') "
        "EXECUTE FUNCTION number_events_before()"
    )
