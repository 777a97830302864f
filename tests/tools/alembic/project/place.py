"""Where the database is."""

import os

from sqlalchemy import URL


def url(driver):
    return URL.create(
        "postgresql+" + driver,
        os.environ["PGUSER"],
        os.environ["PGPASSWORD"],
        os.environ["PGHOST"],
        int(os.environ["PGPORT"]),
        os.environ["PGDATABASE"],
    )
