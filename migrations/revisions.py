"""The revisions that a database lacks, and how they are applied: what needs Alembic.

It is imported only when a database is not up to date.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory


def pending(connection: sa.Connection) -> list[str]:
    """Return the revisions that are missing in the database, oldest first; none if it is up to date."""
    script = ScriptDirectory.from_config(config())
    present = MigrationContext.configure(connection).get_current_heads()
    newer = script.iterate_revisions("head", present or "base")
    return [revision.revision for revision in reversed(list(newer))]


def apply(connection: sa.Connection) -> list[str]:
    """Apply these revisions in the transaction of *connection*, and return them."""
    options = config()
    options.attributes["connection"] = connection
    applied = pending(connection)
    if applied:  # else another process has upgraded it meanwhile
        command.upgrade(options, "head")
    return applied


def config() -> Config:
    """Return what Alembic has to know."""
    options = Config()
    options.set_main_option("script_location", "postscan.migrations:")
    options.set_main_option("path_separator", "os")
    return options
