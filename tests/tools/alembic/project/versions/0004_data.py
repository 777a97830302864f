"""Rows are moved by Python, through the connection of the migration."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade():
    op.execute("ALTER TYPE kind ADD VALUE IF NOT EXISTS 'state'")
    op.alter_column("customer", "kind", server_default="person")
    op.add_column("stock", sa.Column("worth", sa.Numeric(), sa.Computed("amount * price", persisted=True)), schema="crm")
    if op.get_context().as_sql:
        return
    connection = op.get_bind()
    customer = sa.table("customer", sa.column("id"), sa.column("details"), sa.column("tags"), sa.column("region_id"))
    region = sa.table("region", sa.column("id"), sa.column("name"), schema="crm")
    cities = connection.scalars(sa.text("SELECT DISTINCT details->>'city' FROM customer WHERE details ? 'city' ORDER BY 1")).all()
    for number, city in enumerate(cities, 10):
        connection.execute(region.insert().values(id=number, name=city))
        connection.execute(customer.update().where(sa.text("details->>'city' = :city").bindparams(city=city)).values(region_id=number))


def downgrade():
    op.execute("UPDATE customer SET region_id = 1")
    op.execute("DELETE FROM crm.region WHERE id >= 10")
    op.drop_column("stock", "worth", schema="crm")
    op.alter_column("customer", "kind", server_default=None)
