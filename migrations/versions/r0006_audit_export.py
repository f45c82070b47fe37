"""Lines of the audit trail may be deleted while their numbers stand in a table of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the empty table, and replace the triggers."""
    op.create_table(
        "audit_exported",
        sa.Column("seq", SERIAL, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_exported"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_no_delete")
        op.execute(
            "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit "
            "WHEN NOT EXISTS (SELECT 1 FROM audit_exported WHERE seq = OLD.seq) "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )
        return
    op.execute("DROP TRIGGER audit_append_only ON audit")
    op.execute(
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR TRUNCATE ON audit EXECUTE FUNCTION audit_append_only()"
    )
    op.execute(
        "CREATE FUNCTION audit_only_exported() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT 1 FROM audit_exported WHERE seq = OLD.seq) THEN RETURN OLD; END IF; "
        "RAISE EXCEPTION 'the audit trail is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_only_exported BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_only_exported()"
    )
