"""A pytest plugin that puts the tables of SQLAlchemy's classes of tests into production, with their rows.

$SUITE_STAGE is `fill` (at production: makes each class's tables and rows, runs none of the tests, drops nothing) or `run` (the tables and rows are
there: they aren't made again). Of several classes with a table of the same name, the first has its tables in production.
"""

import json
import os

import pytest

STAGE = os.environ["SUITE_STAGE"]
STATE = os.path.join(os.environ["SUITE_STATE"], "classes")


def pytest_sessionstart(session):
    from sqlalchemy.testing.fixtures.sql import TablesTest

    (fill if STAGE == "fill" else run)(TablesTest)


def name_of(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def define(cls):
    cls.define_tables(cls._tables_metadata)
    cls.tables.update(cls._tables_metadata.tables)
    cls.sequences.update(cls._tables_metadata._sequences)


def fill(tests):
    owners, inserted = {}, set()
    each_inserts = tests._setup_each_inserts

    def once_tables(cls):
        if (cls.run_define_tables, cls.run_create_tables) != ("once", "once"):
            pytest.skip("makes its tables for each test")
        define(cls)
        if taken := owners.keys() & cls._tables_metadata.tables.keys():
            pytest.skip(f"another class's tables: {taken}")
        cls._tables_metadata.create_all(cls.bind)
        owners.update(dict.fromkeys(cls._tables_metadata.tables, name_of(cls)))
        with open(STATE, "w", encoding="utf-8") as state:
            json.dump(sorted(set(owners.values())), state, indent=1)

    def each_inserts_once(self):
        if type(self) not in inserted:
            inserted.add(type(self))
            each_inserts(self)

    tests._setup_once_tables = classmethod(once_tables)
    tests._setup_each_inserts = each_inserts_once
    tests._teardown_each_tables = lambda self: None
    tests._teardown_once_metadata_bind = classmethod(lambda cls: None)


def run(tests):
    with open(STATE, encoding="utf-8") as state:
        filled = set(json.load(state))
    once_tables, once_inserts = tests._setup_once_tables.__func__, tests._setup_once_inserts.__func__
    each_inserts = tests._setup_each_inserts
    found = set()

    def tables(cls):
        (define if name_of(cls) in filled else once_tables)(cls)

    def inserts(cls):
        if name_of(cls) not in filled:
            once_inserts(cls)

    def first_found(self):
        cls = type(self)
        if name_of(cls) in filled and cls not in found:
            found.add(cls)
        else:
            each_inserts(self)

    tests._setup_once_tables = classmethod(tables)
    tests._setup_once_inserts = classmethod(inserts)
    tests._setup_each_inserts = first_found


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Leaves out what makes its own tables: that's the suite itself."""
    from sqlalchemy.testing.fixtures.sql import TablesTest

    of_classes = [item for item in items if item.cls and issubclass(item.cls, TablesTest)]
    if STAGE == "fill":
        # One of each class makes the class's tables.
        items[:] = {item.cls: item for item in reversed(of_classes)}.values()
        items.reverse()
        return
    with open(STATE, encoding="utf-8") as state:
        filled = set(json.load(state))
    items[:] = [item for item in of_classes if name_of(item.cls) in filled]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    return True if STAGE == "fill" else None
