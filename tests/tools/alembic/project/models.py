"""The tables: `base` as production has them, `head` as the newest revision leaves them."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
base = sa.MetaData(naming_convention=NAMES)
head = sa.MetaData(naming_convention=NAMES)


def both(name, only_base=(), only_head=(), head_name=None, schema=None, keys=(None, None), **kwargs):
    """Adds a table to both; columns and constraints come from functions, as none may belong to two tables. The first column's type may be each one's own."""

    def add(columns):
        for metadata, more, called, key in ((base, only_base, name, keys[0]), (head, only_head, head_name or name, keys[1])):
            if called:
                first = [key()] if key else []
                sa.Table(called, metadata, *first, *columns(), *(item() for item in more), schema=schema, **kwargs)

    return add


def C(*args, **kwargs):
    return lambda: sa.Column(*args, **kwargs)


kind = pg.ENUM("person", "company", name="kind", create_type=False)
kind_head = pg.ENUM("company", "club", "person", name="kind", create_type=False)

both(
    "customer",
    only_base=[C("kind", kind, nullable=False), C("credit", sa.Integer), C("note", sa.String(200))],
    only_head=[
        C("kind", kind_head, nullable=False, server_default="person"),
        C("credit", sa.Numeric(12, 2), nullable=False, server_default="0"),
        C("remark", sa.Text),
        C("region_id", sa.Integer, sa.ForeignKey("crm.region.id"), nullable=False, server_default="1"),
        lambda: sa.CheckConstraint("credit >= 0", name="credit"),
    ],
    comment="Who buys",
)(
    lambda: [
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("email", sa.String(120), nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False, comment="as they write it"),
        sa.Column("details", pg.JSONB, server_default="{}"),
        sa.Column("tags", pg.ARRAY(sa.Text)),
        sa.Column("born", sa.Date),
        sa.Column("made", sa.DateTime(timezone=True), server_default=sa.func.now()),
        sa.Index("ix_customer_lower_name", sa.text("lower(name)")),
    ]
)
both(
    "purchase",
    keys=(C("id", sa.Integer, primary_key=True), C("id", sa.BigInteger, sa.Identity(), primary_key=True)),
    only_base=[C("total", sa.Numeric(8, 2), nullable=False)],
    only_head=[
        C("total", sa.Numeric(14, 4), nullable=False),
        C("number", sa.String(20), nullable=False, unique=True),
        lambda: sa.Index("ix_purchase_open", "customer_id", postgresql_where=sa.text("state = 'open'")),
    ],
)(
    lambda: [
        sa.Column("customer_id", sa.BigInteger, sa.ForeignKey("customer.id", ondelete="CASCADE"), index=True, nullable=False),
        sa.Column("state", sa.String(10), server_default="open", nullable=False),
        sa.Column("placed", sa.DateTime, nullable=False),
        sa.Column("reference", pg.UUID),
        sa.CheckConstraint("state IN ('open', 'sent', 'lost')", name="state"),
    ]
)
both(
    "purchase_line",
    head_name="line",
    keys=(C("purchase_id", sa.Integer, primary_key=True), C("purchase_id", sa.BigInteger, primary_key=True)),
    only_base=[C("quantity", sa.SmallInteger, nullable=False)],
    only_head=[
        C("quantity", sa.Integer, nullable=False),
        C("price", sa.Numeric(10, 2), nullable=False, server_default="0"),
        lambda: sa.CheckConstraint("quantity > 0", name="quantity"),
    ],
)(
    lambda: [
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("article", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["purchase_id"], ["purchase.id"], name="fk_line_purchase", ondelete="CASCADE"),
    ]
)
both(
    "stock",
    schema="crm",
    only_head=[C("worth", sa.Numeric, sa.Computed("amount * price", persisted=True))],
)(
    lambda: [
        sa.Column("id", sa.Integer, sa.Sequence("stock_number", schema="crm"), primary_key=True),
        sa.Column("article", sa.Text, nullable=False),
        sa.Column("amount", sa.Integer, nullable=False),
        sa.Column("price", sa.Numeric(10, 2), nullable=False),
        sa.Column("during", pg.DATERANGE),
        sa.UniqueConstraint("article"),
    ]
)
both("region", head_name="region", schema="crm")(
    lambda: [sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, unique=True)]
)
both(None, head_name="visit")(
    lambda: [
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("customer_id", sa.BigInteger, sa.ForeignKey("customer.id"), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.UniqueConstraint("customer_id", "day"),
    ]
)
