"""The way of the schema: from nothing to today's, on every database, and no step missing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from postscan import migrations
from postscan.core.schema import METADATA


def test_the_migrations_build_exactly_the_tables_of_the_schema(database_url: str) -> None:
    """A table or column that stands in one place only is found here."""
    migrations.upgrade(database_url)
    engine = sa.create_engine(database_url)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, METADATA)
    engine.dispose()

    assert differences == []


def test_upgrade_says_what_it_applied_and_is_harmless_when_repeated(database_url: str) -> None:
    """Check tells the same before."""
    lacking = migrations.check(database_url)

    assert migrations.upgrade(database_url) == lacking
    assert lacking
    assert lacking[0] == "0001"
    assert migrations.upgrade(database_url) == []
    assert migrations.check(database_url) == []
