"""Tables are renamed, made and filled from others; a view stands over a column whose type changes."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade():
    op.rename_table("purchase_line", "line")
    op.execute("ALTER TABLE line RENAME CONSTRAINT pk_purchase_line TO pk_line")
    op.execute("DROP VIEW big_customer")
    op.alter_column("purchase", "total", type_=sa.Numeric(14, 4))
    op.execute("CREATE VIEW big_customer AS SELECT c.id, c.name, sum(p.total) AS total FROM customer c JOIN purchase p ON p.customer_id = c.id GROUP BY c.id HAVING sum(p.total) > 900")
    visit = op.create_table(
        "visit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("customer_id", sa.BigInteger(), sa.ForeignKey("customer.id"), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.UniqueConstraint("customer_id", "day"),
    )
    op.execute("INSERT INTO visit (customer_id, day) SELECT DISTINCT customer_id, placed::date FROM purchase WHERE state = 'sent' ORDER BY 1, 2")
    op.bulk_insert(visit, [{"customer_id": i, "day": "2030-01-01"} for i in range(1, 6)]) if not op.get_context().as_sql else op.execute(
        "INSERT INTO visit (customer_id, day) SELECT i, '2030-01-01' FROM generate_series(1, 5) i"
    )


def downgrade():
    op.drop_table("visit")
    op.execute("DROP VIEW big_customer")
    op.alter_column("purchase", "total", type_=sa.Numeric(8, 2))
    op.execute("CREATE VIEW big_customer AS SELECT c.id, c.name, sum(p.total) AS total FROM customer c JOIN purchase p ON p.customer_id = c.id GROUP BY c.id HAVING sum(p.total) > 900")
    op.execute("ALTER TABLE line RENAME CONSTRAINT pk_line TO pk_purchase_line")
    op.rename_table("line", "purchase_line")
