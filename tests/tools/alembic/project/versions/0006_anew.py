"""What PostgreSQL or Alembic makes anew: a table by a batch, an enum without a value, a key of a wider type, an identity in a sequence's place."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0006", "0005"


# Its key's name is taken for as long as there are two of it.
RENAME = "ALTER TABLE line RENAME CONSTRAINT _alembic_tmp_line_pkey TO pk_line"


def line(quantity, *more):
    return sa.Table(
        "line",
        sa.MetaData(),
        sa.Column("purchase_id", sa.Integer(), sa.ForeignKey("purchase.id", name="fk_line_purchase", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("article", sa.Text(), nullable=False),
        sa.Column("quantity", quantity, nullable=False),
        *more,
        sa.PrimaryKeyConstraint("purchase_id", "number"),
    )


def swap_kind(*values):
    op.alter_column("customer", "kind", server_default=None)
    op.execute("ALTER TYPE kind RENAME TO kind_before")
    op.execute(f"CREATE TYPE kind AS ENUM {values}")
    op.execute("ALTER TABLE customer ALTER COLUMN kind TYPE kind USING kind::text::kind")
    op.execute("DROP TYPE kind_before")
    op.alter_column("customer", "kind", server_default="person")


def upgrade():
    op.execute("UPDATE customer SET kind = 'company' WHERE kind = 'state'")
    swap_kind("company", "club", "person")
    with op.batch_alter_table("line", recreate="always", copy_from=line(sa.SmallInteger())) as batch:
        batch.alter_column("quantity", type_=sa.Integer(), existing_type=sa.SmallInteger())
        batch.add_column(sa.Column("price", sa.Numeric(10, 2), server_default="0", nullable=False))
        batch.create_check_constraint(op.f("ck_line_quantity"), "quantity > 0")
    op.execute(RENAME)
    op.drop_constraint("fk_line_purchase", "line", type_="foreignkey")
    op.alter_column("purchase", "id", type_=sa.BigInteger())
    op.alter_column("line", "purchase_id", type_=sa.BigInteger())
    op.create_foreign_key("fk_line_purchase", "line", "purchase", ["purchase_id"], ["id"], ondelete="CASCADE", postgresql_not_valid=True)
    op.execute("ALTER TABLE line VALIDATE CONSTRAINT fk_line_purchase")
    op.alter_column("purchase", "id", server_default=None)
    op.execute("DROP SEQUENCE purchase_id_seq")
    op.alter_column("purchase", "id", server_default=sa.Identity(), existing_server_default=None)
    op.execute("SELECT setval(pg_get_serial_sequence('purchase', 'id'), max(id)) FROM purchase")


def downgrade():
    op.alter_column("purchase", "id", server_default=None, existing_server_default=sa.Identity())
    op.execute("CREATE SEQUENCE purchase_id_seq AS integer OWNED BY purchase.id")
    op.alter_column("purchase", "id", server_default=sa.text("nextval('purchase_id_seq')"))
    op.execute("SELECT setval('purchase_id_seq', max(id)) FROM purchase")
    before = line(
        sa.Integer(),
        sa.Column("price", sa.Numeric(10, 2), server_default="0", nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_line_quantity")),
    )
    with op.batch_alter_table("line", recreate="always", copy_from=before) as batch:
        batch.drop_constraint(op.f("ck_line_quantity"), type_="check")
        batch.drop_column("price")
        batch.alter_column("quantity", type_=sa.SmallInteger(), existing_type=sa.Integer())
    op.execute(RENAME)
    op.drop_constraint("fk_line_purchase", "line", type_="foreignkey")
    op.alter_column("purchase", "id", type_=sa.Integer())
    op.create_foreign_key("fk_line_purchase", "line", "purchase", ["purchase_id"], ["id"], ondelete="CASCADE")
    swap_kind("person", "company", "state")
