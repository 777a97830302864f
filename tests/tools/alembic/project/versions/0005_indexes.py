"""An index, made while others write."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"


def upgrade():
    with op.get_context().autocommit_block():
        op.create_index("ix_purchase_open", "purchase", ["customer_id"], postgresql_where=sa.text("state = 'open'"), postgresql_concurrently=True)


def downgrade():
    op.drop_index("ix_purchase_open", "purchase")
