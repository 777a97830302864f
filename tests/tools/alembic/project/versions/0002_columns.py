"""Columns come, go and change their types; their values from production's rows."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    op.execute("INSERT INTO crm.region VALUES (1, 'nowhere') ON CONFLICT DO NOTHING")
    op.alter_column("customer", "note", new_column_name="remark", type_=sa.Text())
    op.execute("UPDATE customer SET credit = 0 WHERE credit IS NULL")
    op.alter_column("customer", "credit", type_=sa.Numeric(12, 2), nullable=False, server_default="0", postgresql_using="credit::numeric / 100")
    op.add_column("customer", sa.Column("region_id", sa.Integer(), nullable=False, server_default="1"))
    op.create_foreign_key("fk_customer_region_id_region", "customer", "region", ["region_id"], ["id"], referent_schema="crm")
    op.create_check_constraint("credit", "customer", "credit >= 0")
    op.add_column("purchase", sa.Column("number", sa.String(20)))
    op.execute("UPDATE purchase p SET number = 'P' || p.id || '-' || c.id FROM customer c WHERE c.id = p.customer_id")
    op.alter_column("purchase", "number", nullable=False)
    op.create_unique_constraint("uq_purchase_number", "purchase", ["number"])


def downgrade():
    op.drop_column("purchase", "number")
    op.drop_constraint("credit", "customer", type_="check")
    op.drop_column("customer", "region_id")
    op.alter_column("customer", "credit", type_=sa.Integer(), nullable=True, server_default=None, postgresql_using="(credit * 100)::int")
    op.alter_column("customer", "remark", new_column_name="note", type_=sa.String(200))
