"""What datasets are tagged with, and how much their bars take.

Frozen once released, and repeatable statement by statement; see 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")

MEASURE = """
UPDATE dataset_contents SET n_bytes = COALESCE(
    (SELECT SUM(LENGTH(data)) FROM dataset_blocks
     WHERE dataset_blocks.sha256 = dataset_contents.sha256), 0)
WHERE n_bytes = 0
"""


def upgrade() -> None:
    # A text has no default on MySQL: none at all means no tags.
    _add_column("datasets", sa.Column("tags", TEXT))
    n_bytes = sa.Column("n_bytes", sa.BigInteger(), nullable=False, server_default="0")
    _add_column("dataset_contents", n_bytes)
    op.execute(MEASURE)


def _add_column(table: str, column: sa.Column[Any]) -> None:
    there = {item["name"] for item in sa.inspect(op.get_bind()).get_columns(table)}
    if column.name not in there:
        op.add_column(table, column)
