"""Makes a channel of many records straight in the database: names, versions and dependencies as a large public channel has them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson
from django.db import connection, transaction

from benchmarks.big_records import FIRST_SEEN, records
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Channel, PackageFile

CHUNK_ROWS = 5000

# Past Django's objects: they cost more than the rows.
_FIELDS = [field for field in PackageFile._meta.concrete_fields if not field.primary_key]
_COLUMNS = [field.column for field in _FIELDS]
_DEFAULTS = [field.get_db_prep_save(field.get_default(), connection) for field in _FIELDS]
_INSERT = f"INSERT INTO {PackageFile._meta.db_table} ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))})"
_FIRST_SEEN_VALUE = str(PackageFile._meta.get_field("indexed_at").get_db_prep_save(FIRST_SEEN, connection))


def fill(channel: Channel, count: int, *, subdir: str = "linux-64", seed: int = 7) -> int:
    """Put `count` records into a channel (no bytes behind them) and publish them as one revision; its number."""
    insert(channel, count, subdir=subdir, seed=seed)
    return publish_dirty(channel.pk)


def insert(channel: Channel, count: int, *, subdir: str = "linux-64", seed: int = 7) -> None:
    """The rows of `count` records, recorded and marked, as an ingest leaves them for the index."""
    insert_records(channel, subdir, records(count, subdir=subdir, seed=seed))


def insert_records(channel: Channel, subdir: str, found: Iterator[tuple[str, dict[str, Any]]]) -> None:
    """The same of these (filename, record)."""
    keys: set[tuple[str, str]] = set()
    while chunk := list(islice(found, CHUNK_ROWS)):
        rows = [_row(channel.pk, subdir, filename, record) for filename, record in chunk]
        keys.update((subdir, record["name"]) for _, record in chunk)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(_INSERT, rows)
    with transaction.atomic():
        Channel.objects.select_for_update().get(pk=channel.pk)
        mark_dirty(channel.pk, keys, cause="records generated")


def _row(channel_id: int, subdir: str, filename: str, record: dict[str, Any]) -> list[Any]:
    given = {
        **{key: record[key] for key in ("name", "version", "build", "build_number", "sha256", "md5", "size")},
        "channel_id": channel_id,
        "subdir": subdir,
        "filename": filename,
        "record": orjson.dumps(record, option=orjson.OPT_SORT_KEYS).decode(),
        "indexed_at": _FIRST_SEEN_VALUE,
        "changed_at": _FIRST_SEEN_VALUE,
        "uploaded_by": "benchmark",
    }
    return [given.get(column, default) for column, default in zip(_COLUMNS, _DEFAULTS, strict=True)]
