"""Writes many new rows into the database at once, under ids that are known beforehand: nothing has to be read back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from django.db import connection

# SQLite takes so many in one step: fewer steps, and other threads wait for none of them.
STATEMENT_ROWS = 100


def new_ids(table: str, count: int) -> Sequence[int]:
    """Ids for so many new rows that `insert` is given next, in the same transaction."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count])
            return [pk for (pk,) in cursor.fetchall()]
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        last = (cursor.fetchone() or (0,))[0]
        return range(last + 1, last + 1 + count)


def insert(
    table: str, same: Mapping[str, Any], columns: Sequence[str], rows: Iterable[Sequence[Any]], *, skip_existing: bool = False
) -> None:
    """same: columns that are alike in all rows; skip_existing: rows that a constraint says are there already are left out.

    In a transaction; values as the database's own driver takes them.
    """
    if connection.vendor == "postgresql":
        (_insert_missing if skip_existing else _copy)(table, same, columns, rows)
        return
    given = list(rows)
    with connection.cursor(), connection.wrap_database_errors:
        # Past the cursor of the ORM, which would look for its marks in every statement anew.
        own = connection.connection
        count = min(STATEMENT_ROWS, (own.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - len(same)) // len(columns))
        for start in range(0, len(given), count):
            some = given[start : start + count]
            statement = _statement(table, tuple(same), tuple(columns), len(some), skip_existing)
            own.execute(statement, [*same.values(), *chain.from_iterable(some)]).close()


@lru_cache(maxsize=64)
def _statement(table: str, same: tuple[str, ...], columns: tuple[str, ...], count: int, skip_existing: bool) -> str:
    alike = "".join(f"?{number}, " for number in range(1, len(same) + 1))
    first, width = len(same) + 1, len(columns)
    values = (
        f"({alike}{', '.join(f'?{number}' for number in range(start, start + width))})"
        for start in range(first, first + count * width, width)
    )
    tail = " ON CONFLICT DO NOTHING" if skip_existing else ""
    return f"INSERT INTO {table} ({', '.join((*same, *columns))}) VALUES {', '.join(values)}{tail}"  # noqa: S608


def _copy(table: str, same: Mapping[str, Any], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    alike = tuple(same.values())
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(f"COPY {table} ({', '.join((*same, *columns))}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row((*alike, *row))


def _insert_missing(table: str, same: Mapping[str, Any], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    alike = tuple(same.values())
    marks = ", ".join(["%s"] * (len(same) + len(columns)))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} ({', '.join((*same, *columns))}) VALUES ({marks}) ON CONFLICT DO NOTHING",  # noqa: S608
            [(*alike, *row) for row in rows],
        )
