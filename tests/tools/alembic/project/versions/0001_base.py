"""What production has."""

import sqlalchemy as sa
from alembic import op

import models

revision, down_revision = "0001", None


def upgrade():
    op.execute("CREATE SCHEMA crm")
    op.execute("CREATE TYPE kind AS ENUM ('person', 'company')")
    models.base.create_all(op.get_bind())
    op.execute("CREATE VIEW big_customer AS SELECT c.id, c.name, sum(p.total) AS total FROM customer c JOIN purchase p ON p.customer_id = c.id GROUP BY c.id HAVING sum(p.total) > 900")
