"""Tells SQLite how large channels are, so that it looks a name up and never walks 600,000 rows in an order that it was asked for.

Without statistics SQLite takes it that ten rows share a channel. Statistics of its own (ANALYZE) are those of the moment, and no other
connection hears of them before it is opened anew: a hub that began empty would keep the wrong ones for days. These are of the
channels that cost the most, the same on every hub, and harmless where channels are small. PostgreSQL keeps its own.
"""

from __future__ import annotations

from django.db import connection, models, transaction

from channels_app.models import DownloadCount, IndexFile, Package, PackageFile, Revision, Shard

TABLE_ROWS = 5_000_000
CHANNEL_ROWS = 600_000
# How many rows of one large channel share the value of a column; the columns that tell rows apart are not here.
ROWS_SHARING = {
    "channel_id": CHANNEL_ROWS,
    "state": CHANNEL_ROWS,
    "verdict": CHANNEL_ROWS,
    "subdir": 100_000,
    "day": 10_000,
    "kind": 1000,
    "file_id": 100,
    "name": 24,
}
MODELS: tuple[type[models.Model], ...] = (PackageFile, Package, Shard, Revision, IndexFile, DownloadCount)


def tell_planner() -> None:
    """Write the statistics of all indexes of the large tables; other connections have them from when they are opened."""
    if connection.vendor != "sqlite":
        return
    with transaction.atomic(), connection.cursor() as cursor:
        # Makes the table of statistics where there is none.
        cursor.execute("ANALYZE sqlite_schema")
        for model in MODELS:
            table = model._meta.db_table
            cursor.execute("DELETE FROM sqlite_stat1 WHERE tbl = %s", [table])
            cursor.execute(f"PRAGMA index_list({connection.ops.quote_name(table)})")
            for index in [row[1] for row in cursor.fetchall()]:
                cursor.execute(f"PRAGMA index_info({connection.ops.quote_name(index)})")
                columns = [row[2] for row in cursor.fetchall()]
                cursor.execute("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (%s, %s, %s)", [table, index, _shape(columns)])
        cursor.execute("ANALYZE sqlite_schema")


def _shape(columns: list[str]) -> str:
    """As SQLite writes it: the rows of the index, then how many share its first column, its first two, and so on."""
    numbers = [TABLE_ROWS]
    for column in columns:
        numbers.append(min(numbers[-1], ROWS_SHARING.get(column, 1)))
    return " ".join(str(number) for number in numbers)
