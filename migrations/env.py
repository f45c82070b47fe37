"""Run the migrations on the connection of `postscan.migrations.upgrade`; there is no offline mode."""

from alembic import context

from postscan.core.store.schema import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
