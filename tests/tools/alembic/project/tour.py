"""What programs on SQLAlchemy do; each step prints what it saw."""

import asyncio
import datetime
import re
import sys
import uuid
from decimal import Decimal

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session, joinedload, selectinload, subqueryload
from sqlalchemy.schema import CreateIndex, CreateTable

import models
import place


def say(*values):
    print(*values, flush=True)


def day(i):
    return datetime.date(2024, 1, 1) + datetime.timedelta(days=i)


def engine():
    return sa.create_engine(place.url("psycopg"))


def fill():
    t = models.base.tables
    with engine().begin() as c:
        c.execute(
            t["customer"].insert(),
            [
                dict(
                    email=f"c{i}@example.org", name=f"Customer {i}", kind=["person", "company"][i % 2], credit=i * 50 if i % 7 else None,
                    note=f"note {i}" if i % 3 else None, details={"city": ["Oslo", "Rome", "Bonn"][i % 3]} if i % 4 else {"n": i},
                    tags=[f"t{i % 5}", "all"] if i % 6 else None, born=day(-i * 30) if i % 5 else None,
                    made=datetime.datetime(2024, 5, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(hours=i),
                )
                for i in range(1, 301)
            ],
        )
        c.execute(
            t["purchase"].insert(),
            [
                dict(
                    customer_id=i * 7 % 300 + 1, state=["open", "sent", "lost"][i % 3], total=Decimal(i % 400) + Decimal("0.5"),
                    placed=datetime.datetime(2025, 1, 1) + datetime.timedelta(hours=i * 5), reference=uuid.UUID(int=i),
                )
                for i in range(1, 1201)
            ],
        )
        c.execute(
            t["purchase_line"].insert(),
            [dict(purchase_id=i, number=n, article=f"A{(i * n) % 40}", quantity=n) for i in range(1, 1201) for n in range(1, i % 3 + 1)],
        )
        c.execute(
            t["crm.stock"].insert(),
            [dict(article=f"A{i}", amount=i * 3, price=Decimal(i) / 4, during=pg.Range(day(i), day(i + 9)) if i % 3 else None) for i in range(40)],
        )


def show(inspector, schema):
    for name in sorted(inspector.get_table_names(schema) + inspector.get_view_names(schema)):
        say("table", schema, name)
        for what in ("columns", "pk_constraint", "foreign_keys", "indexes", "unique_constraints", "check_constraints"):
            found = getattr(inspector, "get_" + what)(name, schema)
            for item in sorted(found, key=lambda item: str(item.get("name"))) if what not in ("columns", "pk_constraint") else [found] if isinstance(found, dict) else found:
                say("  ", what, sorted((k, repr(v)) for k, v in item.items()))
        if name in inspector.get_view_names(schema):
            say("  ", inspector.get_view_definition(name, schema))
        else:
            say("  ", inspector.get_table_comment(name, schema))


def reflect():
    e = engine()
    inspector = sa.inspect(e)
    say(inspector.get_schema_names(), inspector.default_schema_name, sorted(inspector.get_sequence_names()), inspector.get_materialized_view_names())
    say(inspector.get_enums("*"), inspector.get_domains(), sorted(inspector.get_sequence_names("crm")), inspector.get_sorted_table_and_fkc_names())
    for schema in ("public", "crm"):
        show(inspector, schema)
    metadata = sa.MetaData()
    for schema in (None, "crm"):
        metadata.reflect(e, schema=schema, views=True)
    for table in sorted(metadata.tables.values(), key=lambda table: table.key):
        say(str(CreateTable(table).compile(e)).strip())
        for index in sorted(table.indexes, key=lambda index: index.name):
            say(str(CreateIndex(index).compile(e)))
    multi = inspector.get_multi_columns()
    say(sorted((key, [column["name"] for column in columns]) for key, columns in multi.items()))


def autogenerate(which):
    def include(name, type_, parent):
        return type_ != "schema" or name in (None, "crm")

    with engine().connect() as c:
        context = MigrationContext.configure(
            c, opts={"compare_type": True, "compare_server_default": True, "include_schemas": True, "include_name": include}
        )
        metadata = getattr(models, which)
        say("differences", which, sorted(re.sub(" at 0x[0-9a-f]+", "", str(d)) for d in compare_metadata(context, metadata)))
        say(render_python_code(produce_migrations(context, metadata).upgrade_ops))


def counts():
    with engine().connect() as c:
        inspector = sa.inspect(c)
        for schema in ("public", "crm"):
            for name in sorted(inspector.get_table_names(schema)):
                table = sa.Table(name, sa.MetaData(), autoload_with=c, schema=schema)
                row = c.execute(sa.select(sa.func.count(), *(sa.func.count(sa.distinct(col)) for col in table.columns if str(col.type) != "JSON")).select_from(table)).one()
                say(schema, name, tuple(row))
        say(c.execute(sa.text("SELECT * FROM big_customer ORDER BY id")).all())


def fails(session, what, do):
    try:
        with session.begin_nested():
            do()
            session.flush()
        say(what, "no error")
    except sa.exc.DBAPIError as error:
        original = error.orig
        code = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
        say(what, type(error).__name__, code, str(original).splitlines()[0])


def orm(driver):
    if driver == "asyncpg":
        asyncio.run(orm_async())
    else:
        with Session(sa.create_engine(place.url(driver))) as session:
            work(session, driver)


async def orm_async():
    e = create_async_engine(place.url("asyncpg"))
    async with e.connect() as c:
        await c.run_sync(lambda c: work(Session(c), "asyncpg"))
        stream = await c.stream(sa.text("SELECT id, details, tags FROM customer ORDER BY id").execution_options(yield_per=40))
        total = 0
        async for row in stream:
            total += row.id
        say("streamed", total)
        raw = (await c.get_raw_connection()).driver_connection
        say("native", [dict(r) for r in await raw.fetch("SELECT * FROM crm.stock WHERE amount > $1 ORDER BY id LIMIT 5", 30)])
        say("copied", await raw.copy_records_to_table("region", schema_name="crm", records=[(90, "copied"), (91, "too")]))
        statement = await raw.prepare("SELECT c.name, p.* FROM customer c JOIN purchase p ON p.customer_id = c.id WHERE p.total > $1")
        say("described", [(a.name, a.type.name) for a in statement.get_attributes()], [p.name for p in statement.get_parameters()])
        say("many", await raw.executemany("UPDATE crm.stock SET amount = amount + $2 WHERE id = $1", [(i, i) for i in range(1, 9)]))
        await c.rollback()
    await e.dispose()


def work(session, driver):
    Base = automap_base()
    Base.prepare(autoload_with=session.connection())
    Customer, Purchase, Line = Base.classes.customer, Base.classes.purchase, Base.classes.purchase_line
    select = sa.select
    say("classes", sorted(Base.classes.keys()))
    rows = session.execute(select(Customer.name, sa.func.sum(Purchase.total).label("sum")).join(Purchase).group_by(Customer.id).having(sa.func.count() > 3).order_by(sa.desc("sum"), Customer.id).limit(15))
    say("grouped", rows.all())
    for load in (selectinload, joinedload, subqueryload):
        found = session.scalars(select(Customer).options(load(Customer.purchase_collection)).where(Customer.id < 12).order_by(Customer.id)).unique().all()
        say(load.__name__, [(c.name, len(c.purchase_collection), sum(p.total for p in c.purchase_collection)) for c in found])
        session.expire_all()
    say("json", session.scalars(select(Customer.email).where(Customer.details["city"].astext == "Rome", Customer.tags.contains(["t2"])).order_by(Customer.id)).all())
    ranked = select(Purchase.id, sa.func.row_number().over(partition_by=Purchase.customer_id, order_by=Purchase.total.desc()).label("n")).subquery()
    say("window", session.execute(select(ranked.c.id).where(ranked.c.n == 1).order_by(ranked.c.id).limit(20)).scalars().all())
    tree = select(Purchase.id).where(Purchase.id == 1).cte("tree", recursive=True)
    tree = tree.union_all(select(Purchase.id).join(tree, Purchase.id == tree.c.id * 3))
    say("recursive", session.scalars(select(tree.c.id).order_by(tree.c.id)).all())
    say("lateral", session.execute(sa.text("SELECT c.id, x.total FROM customer c CROSS JOIN LATERAL (SELECT total FROM purchase p WHERE p.customer_id = c.id ORDER BY total DESC LIMIT 1) x WHERE c.id < 9 ORDER BY 1")).all())

    new = Customer(email=f"new-{driver}", name="New", kind="company", purchase_collection=[Purchase(total=5, state="open", placed=datetime.datetime(2026, 1, 1)) for _ in range(3)])
    session.add(new)
    session.flush()
    say("flushed", new.id, [p.id for p in new.purchase_collection], new.details)
    session.add_all([Purchase(customer_id=new.id, total=i, placed=datetime.datetime(2026, 2, 1)) for i in range(250)])
    session.flush()
    session.add_all(Line(purchase_id=new.purchase_collection[0].id, number=n, article="A1", quantity=1) for n in range(5))
    old = session.get(Customer, 5, with_for_update=True)
    old.name += " changed by " + driver
    old.tags = ["x"]
    session.delete(session.get(Purchase, {"psycopg": 9, "psycopg2": 40, "asyncpg": 43}[driver]))
    session.commit()
    say("returning", sorted(map(tuple, session.execute(sa.update(Purchase).where(Purchase.customer_id == 3).values(total=Purchase.total * 2).returning(Purchase.id, Purchase.total)).all())))
    session.execute(sa.update(Customer), [{"id": i, "note": f"bulk {driver}"} for i in range(20, 40)])
    upsert = pg.insert(Customer).values([{"email": f"c{i}@example.org", "name": "Upserted", "kind": "person"} for i in range(295, 306)])
    upsert = upsert.on_conflict_do_update(index_elements=["email"], set_={"name": upsert.excluded.name + " " + Customer.email}).returning(Customer.id, Customer.name)
    say("upsert", sorted(map(tuple, session.execute(upsert).all())))
    say("deleted", session.execute(sa.delete(Line).where(Line.purchase_id.in_(select(Purchase.id).where(Purchase.state == "lost", Purchase.total < 20))).returning(Line.purchase_id, Line.number)).all().__len__())
    say("skip", session.scalars(select(Purchase.id).where(Purchase.state == "open").order_by(Purchase.id).limit(5).with_for_update(skip_locked=True)).all())
    fails(session, "duplicate", lambda: session.execute(sa.insert(Customer).values(email="c9@example.org", name="x", kind="person")))
    fails(session, "missing", lambda: session.execute(sa.insert(Purchase).values(customer_id=123456, total=1, placed=datetime.datetime(2026, 1, 1))))
    fails(session, "check", lambda: session.execute(sa.update(Purchase).where(Purchase.id == 12).values(state="odd")))
    fails(session, "enum", lambda: session.execute(sa.text("UPDATE customer SET kind = 'dog' WHERE id = 1")))
    fails(session, "null", lambda: session.execute(sa.update(Customer).where(Customer.id == 12).values(name=None)))
    with session.begin_nested() as nested:
        session.execute(sa.delete(Customer).where(Customer.id < 50))
        say("inside", session.scalar(select(sa.func.count()).select_from(Purchase)))
        nested.rollback()
    say("after", session.scalar(select(sa.func.count()).select_from(Purchase)))
    if driver != "asyncpg":
        result = session.execute(select(Purchase).order_by(Purchase.id).execution_options(yield_per=100))
        say("yielded", sum(p.id for part in result.scalars().partitions() for p in part))
    session.commit()
    if driver == "psycopg2":
        c = session.connection().connection
        c.commit()
        session.close()
        with session.bind.connect() as two:
            transaction = two.begin_twophase("of the tour")
            two.execute(sa.text("UPDATE customer SET note = 'in two phases' WHERE id = 60"))
            transaction.prepare()
            transaction.commit()
    session.rollback()
    say("end", session.execute(sa.text("SELECT count(*), sum(total) FROM purchase")).all())
    session.commit()


def changed():
    t = models.head.tables
    customer, purchase, line, visit, stock = t["customer"], t["purchase"], t["line"], t["visit"], t["crm.stock"]
    with Session(engine()) as session:
        say(session.execute(sa.select(customer.c.id, customer.c.credit, customer.c.remark, customer.c.region_id, customer.c.kind).order_by(customer.c.id).limit(40)).all())
        say(session.execute(sa.select(purchase.c.number, purchase.c.total, visit.c.day).join_from(purchase, visit, purchase.c.customer_id == visit.c.customer_id).order_by(purchase.c.id, visit.c.day).limit(40)).all())
        say(session.execute(sa.select(stock.c.article, stock.c.worth).order_by(stock.c.id)).all())
        session.execute(customer.insert().values(email="club@example.org", name="Club", kind="club", region_id=10))
        session.execute(stock.update().values(price=stock.c.price + 1))
        fails(session, "number", lambda: session.execute(purchase.update().where(purchase.c.id == 4).values(number=sa.select(purchase.c.number).where(purchase.c.id == 5).scalar_subquery())))
        fails(session, "region", lambda: session.execute(customer.update().where(customer.c.id == 4).values(region_id=77)))
        fails(session, "credit", lambda: session.execute(customer.update().where(customer.c.id == 4).values(credit=-1)))
        fails(session, "visit", lambda: session.execute(visit.insert().values(customer_id=1, day=datetime.date(2030, 1, 1))))
        fails(session, "quantity", lambda: session.execute(line.update().where(line.c.purchase_id == 4).values(quantity=0)))
        fails(session, "line", lambda: session.execute(line.insert().values(purchase_id=987654321012, number=1, article="A1", quantity=1)))
        say("by identity", session.execute(purchase.insert().values(customer_id=4, number="own", total=1, placed=datetime.datetime(2026, 3, 1)).returning(purchase.c.id)).all())
        say(session.execute(sa.select(line).where(line.c.purchase_id < 20).order_by(line.c.purchase_id, line.c.number)).all())
        fails(session, "in use", lambda: session.execute(sa.text("DELETE FROM crm.region WHERE id = 10")))
        session.execute(customer.delete().where(customer.c.email == "club@example.org"))
        session.commit()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
