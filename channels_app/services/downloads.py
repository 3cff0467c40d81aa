"""Counts downloads: in memory on the hot path, written every 30 s in one statement a file and day."""

from __future__ import annotations

import atexit
import logging
import threading
from collections import Counter
from contextlib import suppress
from datetime import date

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone

from channels_app.models import DownloadCount, PackageFile

CHUNK_ROWS = 200
log = logging.getLogger(__name__)

_lock = threading.Lock()
_counts: Counter[tuple[int, date]] = Counter()
_timer: threading.Timer | None = None


def count(file_id: int) -> None:
    """One more download of this file today."""
    global _timer
    with _lock:
        _counts[(file_id, timezone.now().date())] += 1
        if _timer is None:
            _timer = threading.Timer(settings.CONDAHUB_COUNT_FLUSH_SECONDS, _flush_in_thread)
            _timer.daemon = True
            _timer.start()


def flush() -> int:
    """Write what this process counted; the number of downloads written. Raises DatabaseError, and counts on from there."""
    global _timer
    with _lock:
        taken = dict(_counts)
        _counts.clear()
        _timer = None
    try:
        _write(taken)
    except DatabaseError:
        with _lock:
            _counts.update(taken)
        raise
    return sum(taken.values())


def _flush_in_thread() -> None:
    close_old_connections()
    try:
        flush()
    except DatabaseError:
        log.warning("download counts could not be written; they are kept for the next time")
    finally:
        connection.close()


def _write(counts: dict[tuple[int, date], int]) -> None:
    """Upsert in chunks; files that are gone by now are left out."""
    known = set()
    ids = sorted({file_id for file_id, _ in counts})
    for start in range(0, len(ids), CHUNK_ROWS):
        known |= set(PackageFile.objects.filter(pk__in=ids[start : start + CHUNK_ROWS]).values_list("pk", flat=True))
    rows = [(file_id, day, number) for (file_id, day), number in sorted(counts.items()) if file_id in known]
    table = DownloadCount._meta.db_table
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = rows[start : start + CHUNK_ROWS]
        values = ", ".join(["(%s, %s, %s)"] * len(chunk))
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} (file_id, day, count) VALUES {values} "  # noqa: S608 - the table's own name, no input
                f"ON CONFLICT (file_id, day) DO UPDATE SET count = {table}.count + excluded.count",
                [part for row in chunk for part in row],
            )


@atexit.register
def _flush_at_exit() -> None:
    """The last word of a process that ends in peace; nobody is left to be told of a failure."""
    if _counts:
        with suppress(DatabaseError):
            flush()
