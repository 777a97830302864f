from alembic import context
from sqlalchemy import create_engine

import models
import place

options = {
    "target_metadata": models.head,
    "compare_type": True,
    "compare_server_default": True,
    "transaction_per_migration": True,
    "include_schemas": True,
    "include_name": lambda name, type_, parents: type_ != "schema" or name in (None, "crm"),
}
if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, as_sql=True, **options)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(place.url("psycopg"))
    with engine.connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()
