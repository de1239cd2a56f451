"""Runs the migrations on the connection that ``Database.open`` holds."""

from alembic import context

from services.gateway.database.engine import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
