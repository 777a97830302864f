"""Puts the rows of Django's classes of tests into production.

At production, [`fill`] has each class make its rows (`setUpTestData`), and keeps which they are and what the class remembers of them. At a copy or a
preview, [`install`] has a class take what is kept, and delete every other class's rows of its application, in the transaction that its tests run in.
So a test sees rows of production among others that its preview deleted. A class whose rows can't be made beside those of others makes its own.
"""

import os
import pickle

from django.apps import apps
from django.db import connection, transaction
from django.test import TestCase

# Some modules run by themselves.
STATE = os.path.join(os.environ.get("SUITE_STATE", ""), "rows" + os.environ.get("SUITE_OTHER", ""))


def name_of(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def tables(cls):
    """The tables of the application that a class tests, with their keys' columns."""
    label = cls.__module__.split(".")[0]
    if not any(config.label == label for config in apps.get_app_configs()):
        return {}
    models = apps.get_app_config(label).get_models(include_auto_created=True)
    existing = set(connection.introspection.table_names())
    # A key of several columns has none of its own.
    keys = {model._meta.db_table: model._meta.pk.column for model in models if model._meta.managed and not model._meta.proxy}
    return {table: key for table, key in keys.items() if key and table in existing}


def keys(table, key):
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {quote(key)}::text FROM {quote(table)}")
        return {row[0] for row in cursor.fetchall()}


def classes(suite):
    found = {}
    for test in suite:
        if isinstance(test, TestCase) and not getattr(type(test), "__unittest_skip__", False):
            found[type(test)] = True
    return list(found)


def fill(suite):
    kept = {}
    for cls in classes(suite):
        if cls.setUpTestData.__func__ is TestCase.setUpTestData.__func__:
            continue
        before = dict(cls.__dict__)
        try:
            here = tables(cls)
            there = {table: keys(table, key) for table, key in here.items()}
            with transaction.atomic():
                cls.setUpTestData()
            rows = {table: sorted(keys(table, key) - there[table]) for table, key in here.items()}
            attributes = {name: value for name, value in cls.__dict__.items() if value is not before.get(name)}
            kept[name_of(cls)] = rows, pickle.dumps(attributes)
        except Exception as error:
            print(f"{name_of(cls)} makes its own rows: {' '.join(str(error).split())[:200]}")
    with open(STATE, "wb") as state:
        pickle.dump(kept, state)
    print(f"{len(kept)} classes' rows, of {len(classes(suite))} classes")


def install(suite):
    with open(STATE, "rb") as state:
        kept = pickle.load(state)
    filled = {table for rows, _ in kept.values() for table, keys in rows.items() if keys}
    begun = set()
    enter = TestCase._enter_atomics.__func__

    def enter_atomics(cls):
        atomics = enter(cls)
        if cls not in begun and "default" in atomics:
            begun.add(cls)
            rows = kept.get(name_of(cls), ({}, None))[0]
            quote = connection.ops.quote_name
            with connection.cursor() as cursor:
                for table, key in tables(cls).items():
                    if table in filled:
                        own = rows.get(table, [])
                        cursor.execute(f"DELETE FROM {quote(table)} WHERE {quote(key)}::text <> ALL (%s::text[])", [own])
        return atomics

    TestCase._enter_atomics = classmethod(enter_atomics)
    for cls in classes(suite):
        if name_of(cls) in kept:
            cls.setUpTestData = classmethod(taken(kept[name_of(cls)][1]))


def taken(attributes):
    def set_up(cls):
        for name, value in pickle.loads(attributes).items():
            setattr(cls, name, value)

    return set_up
