"""Rows of a mirrored channel, written many at a time: past the ORM, which takes five times as long for a large first run."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import orjson
from django.db import connection

from channels_app.models import Channel, FileState, PackageFile
from condahub.bulk import insert, new_ids
from mirrors_app.core.records import Facts, UpstreamRecord
from mirrors_app.core.target import Known
from mirrors_app.models import Mirror, MirroredFile

# Of one statement with a list of ids, and of one transaction that others wait for.
CHUNK_ROWS = 1000
# Of new rows in one transaction; with more, others wait for longer than they notice.
CHUNK_NEW_ROWS = 8000
# Of one statement that names ids and two digests.
NOTED_ROWS = 300
# So many neighbours are named by the first and the last.
LEAST_RANGE = 100
UPLOADED_BY = "mirror"
SHOWN_ROLES = (MirroredFile.Role.SHOWN.value, MirroredFile.Role.LEFT.value)

T = TypeVar("T")

_FILES, _MIRRORED = PackageFile._meta.db_table, MirroredFile._meta.db_table
_FILE_COLUMNS = (
    *("id", "subdir", "filename", "name", "version", "build", "build_number", "sha256", "md5", "size", "blob_id"),
    *("record", "run_exports", "about", "first_seen_at"),
)
_UNFETCHED_COLUMNS = ("id", "subdir", "filename", "name", "version", "build", "build_number", "sha256", "md5", "size", "record")
_MIRRORED_COLUMNS = ("mirror_id", "file_id", "subdir", "filename", "name", "sha256", "md5", "size", "spelling", "digest", "role")
_KNOWN = f"SELECT filename, name, spelling, digest, sha256, md5, size, role FROM {_MIRRORED} WHERE mirror_id = %s AND subdir = %s"  # noqa: S608


class NewFile(NamedTuple):
    """What a row is made of: the record to show, its bytes (None: they are fetched on demand), and texts out of the package."""

    record: UpstreamRecord
    facts: Facts
    sha256: str
    md5: str
    size: int
    blob_id: int | None
    run_exports: str
    about: str
    first_seen_at: datetime | None

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.record.subdir, self.record.filename, self.sha256)


def chunks(items: Iterable[T], size: int = CHUNK_ROWS) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def marks(count: int) -> str:
    return ", ".join(["%s"] * count)


def spellings(mirror_id: int, subdir: str) -> dict[str, bytes | None]:
    """filename -> spelling of what the mirror shows of one subdir, None for what the upstream has no more."""
    found: dict[str, bytes | None] = {}
    with connection.cursor() as cursor:
        for role, spelling in ((MirroredFile.Role.SHOWN, "spelling"), (MirroredFile.Role.LEFT, "NULL")):
            cursor.execute(
                f"SELECT filename, {spelling} FROM {_MIRRORED} WHERE mirror_id = %s AND subdir = %s AND role = %s",  # noqa: S608
                [mirror_id, subdir, role.value],
            )
            while some := cursor.fetchmany(10 * CHUNK_ROWS):
                found.update(some)
    return found


def known(mirror_id: int, subdir: str, names: Collection[str] | None) -> dict[str, Known]:
    """filename -> what the mirror shows of one subdir, of all names or of some."""
    sql = f"{_KNOWN} AND role IN ({marks(len(SHOWN_ROLES))})"
    found: dict[str, Known] = {}
    with connection.cursor() as cursor:
        if names is None:
            cursor.execute(sql, [mirror_id, subdir, *SHOWN_ROLES])
            _read_known(cursor, found)
        else:
            for chunk in chunks(sorted(names)):
                cursor.execute(f"{sql} AND name IN ({marks(len(chunk))})", [mirror_id, subdir, *SHOWN_ROLES, *chunk])
                _read_known(cursor, found)
    return found


def _read_known(cursor: Any, found: dict[str, Known]) -> None:
    left, intern = MirroredFile.Role.LEFT.value, sys.intern
    while rows := cursor.fetchmany(10 * CHUNK_ROWS):
        for filename, name, spelling, digest, sha256, md5, size, role in rows:
            found[filename] = Known(intern(name), bytes(spelling), bytes(digest), sha256, md5, size, role == left)


def insert_files(channel: Channel, files: Sequence[NewFile], *, now: datetime) -> Sequence[int]:
    """New rows, aside; their ids. The channel's row is taken."""
    adapt = connection.ops.adapt_datetimefield_value
    seen = {when: when and adapt(when) for when in {one.first_seen_at for one in files}}
    ids = new_ids(_FILES, len(files))
    rows = []
    for pk, one in zip(ids, files, strict=True):
        record, facts = one.record, one.facts
        rows.append(
            (
                *(pk, record.subdir, record.filename, facts.name, facts.version, facts.build, facts.build_number, one.sha256, one.md5),
                *(one.size, one.blob_id, completed(record, facts, one.sha256, one.size), one.run_exports, one.about),
                seen[one.first_seen_at],
            )
        )
    insert(_FILES, _unshown(channel, now), _FILE_COLUMNS, rows)
    return ids


def insert_unfetched(
    channel: Channel, records: Sequence[UpstreamRecord], *, now: datetime, first_seen_at: datetime | None
) -> tuple[Sequence[int], list[str]]:
    """New rows of files whose bytes are nowhere yet, aside; their ids, and the records as they are shown. The channel's row is taken."""
    seen = first_seen_at and connection.ops.adapt_datetimefield_value(first_seen_at)
    same = {**_unshown(channel, now), "blob_id": None, "run_exports": "{}", "about": "{}", "first_seen_at": seen}
    ids = new_ids(_FILES, len(records))
    rows, texts = [], []
    for pk, one in zip(ids, records, strict=True):
        found = one.columns
        sha256 = found.sha256 or ""
        text = one.raw.decode() if one.size or not sha256 else completed(one, one.facts, sha256, 0)
        texts.append(text)
        rows.append(
            (
                *(pk, one.subdir, one.filename, one.name, found.version, found.build, found.build_number),
                *(sha256, found.md5 or "", one.size, text),
            )
        )
    insert(_FILES, same, _UNFETCHED_COLUMNS, rows)
    return ids, texts


def _unshown(channel: Channel, now: datetime) -> dict[str, Any]:
    """What new rows have in common."""
    at = connection.ops.adapt_datetimefield_value(now)
    return {
        "channel_id": channel.pk,
        "state": FileState.ASIDE.value,
        "reason": "",
        "patch": "",
        "revoked": False,
        "indexed_at": at,
        "verdict": "allow",
        "verdict_reason": "",
        "verdict_changes_at": None,
        "changed_at": at,
        "uploaded_by": UPLOADED_BY,
    }


def insert_mirrored(mirror: Mirror, files: Sequence[tuple[NewFile, int, str]]) -> Sequence[int]:
    """(file, its row's id, role) -> ids of what the mirror knows of them. The channel's row is taken."""
    ids = new_ids(_MIRRORED, len(files))
    given = []
    for pk, (one, file_id, role) in zip(ids, files, strict=True):
        record = one.record
        given.append(
            (
                *(pk, file_id, record.subdir, record.filename, record.name, one.sha256, one.md5, one.size),
                *(record.spelling, record.digest, role),
            )
        )
    insert(_MIRRORED, {"mirror_id": mirror.pk}, ("id", *_MIRRORED_COLUMNS[1:]), given)
    return ids


def note_shown(mirror: Mirror, records: Sequence[UpstreamRecord], file_ids: Sequence[int]) -> None:
    """Know of files that are shown, whose rows have these ids, as they are by now; those that are gone or known are left out.

    The channel's row is taken.
    """
    if connection.vendor == "postgresql":
        given = "unnest(%s::bigint[], %s::bytea[], %s::bytea[]) AS given(id, spelling, digest)"
        sizes, tail = len(records), "ON CONFLICT DO NOTHING"
    else:
        sizes, tail = NOTED_ROWS, "WHERE true ON CONFLICT DO NOTHING"
    with connection.cursor() as cursor:
        for some in chunks(zip(file_ids, (one.spelling for one in records), (one.digest for one in records), strict=True), sizes):
            if connection.vendor == "postgresql":
                values: list[Any] = [list(column) for column in zip(*some, strict=True)]
            else:
                given = f"(WITH one(id, spelling, digest) AS (VALUES {', '.join(['(%s, %s, %s)'] * len(some))}) SELECT * FROM one) AS given"  # noqa: S608
                values = [value for row in some for value in row]
            cursor.execute(
                f"INSERT INTO {_MIRRORED} ({', '.join(_MIRRORED_COLUMNS)})"  # noqa: S608
                " SELECT %s, file.id, subdir, filename, name, sha256, md5, size, spelling, digest, %s"
                f" FROM {given} JOIN {_FILES} AS file ON file.id = given.id {tail}",
                [mirror.pk, MirroredFile.Role.SHOWN.value, *values],
            )


class Row(NamedTuple):
    """What a mirror knows of a file that it keeps."""

    pk: int
    file_id: int | None
    name: str
    sha256: str
    md5: str
    size: int
    digest: bytes
    role: str


def of_names(mirror: Mirror, records: Collection[UpstreamRecord]) -> dict[tuple[str, str], list[Row]]:
    """By (subdir, filename): what is known of these files, whichever bytes they have."""
    wanted = {one.key for one in records}
    names: dict[str, set[str]] = {}
    for one in records:
        names.setdefault(one.subdir, set()).add(one.name)
    found: dict[tuple[str, str], list[Row]] = {}
    with connection.cursor() as cursor:
        for subdir, several in names.items():
            for chunk in chunks(sorted(several)):
                cursor.execute(
                    f"SELECT filename, id, file_id, name, sha256, md5, size, digest, role FROM {_MIRRORED}"  # noqa: S608
                    f" WHERE mirror_id = %s AND subdir = %s AND name IN ({marks(len(chunk))})",
                    [mirror.pk, subdir, *chunk],
                )
                for filename, *rest in cursor.fetchall():
                    if (subdir, filename) in wanted:
                        found.setdefault((subdir, filename), []).append(Row(*rest))
    return found


def ranges(ids: Collection[int]) -> Iterator[tuple[str, list[int]]]:
    """These ids as conditions for statements: a run of neighbours, as a first large run makes them, is one condition."""
    ordered = sorted(set(ids))
    scattered: list[int] = []
    start = 0
    for position in range(1, len(ordered) + 1):
        if position < len(ordered) and ordered[position] == ordered[position - 1] + 1:
            continue
        if position - start > LEAST_RANGE:
            yield "id BETWEEN %s AND %s", [ordered[start], ordered[position - 1]]
        else:
            scattered += ordered[start:position]
        start = position
    for chunk in chunks(scattered):
        yield f"id IN ({marks(len(chunk))})", chunk


def show(channel: Channel, file_ids: Collection[int], *, now: datetime) -> int:
    """Turn these files of the channel live, but for those whose name is occupied by a file that a person put or kept there; how many."""
    turned = 0
    at = connection.ops.adapt_datetimefield_value(now)
    occupied = "state IN ('live', 'yanked', 'held')"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {_FILES} WHERE channel_id = %s AND {occupied} LIMIT 1", [channel.pk])  # noqa: S608
        free = ""
        if cursor.fetchone() is not None:
            free = (
                f" AND NOT EXISTS (SELECT 1 FROM {_FILES} AS other WHERE other.channel_id = {_FILES}.channel_id"  # noqa: S608
                f" AND other.subdir = {_FILES}.subdir AND other.filename = {_FILES}.filename AND other.{occupied})"
            )
        for condition, ids in ranges(file_ids):
            cursor.execute(
                f"UPDATE {_FILES} SET state = 'live', reason = '', changed_at = %s"  # noqa: S608
                f" WHERE {condition} AND state IN ('aside', 'deleted'){free}",
                [at, *ids],
            )
            turned += cursor.rowcount
    return turned


def count(channel: Channel) -> int:
    """The channel's rows, whatever their state."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {_FILES} WHERE channel_id = %s", [channel.pk])  # noqa: S608
        return int(cursor.fetchone()[0])


def hidden(channel: Channel, file_ids: Collection[int]) -> list[int]:
    """Those of these files of the channel that policy holds back or denies."""
    with connection.cursor() as cursor:
        # Word for word the condition of an index of what is rare.
        cursor.execute(f"SELECT id FROM {_FILES} WHERE channel_id = %s AND (verdict = 'hold' OR verdict = 'deny')", [channel.pk])  # noqa: S608
        found = [pk for (pk,) in cursor.fetchall()]
    if not found:
        return []
    wanted = set(file_ids)
    return [pk for pk in found if pk in wanted]


def set_records(records: Iterable[tuple[UpstreamRecord, str, int, int, int]]) -> None:
    """(record, sha256, size, id of the file, id of the mirrored file): what the upstream says of it now.

    sha256 '': of bytes that were never fetched, so that the upstream's md5 and size are taken over as well.
    """
    given = list(records)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {_FILES} SET record = %s WHERE id = %s",  # noqa: S608
            [(completed(record, record.facts, sha256, size), file_id) for record, sha256, size, file_id, _ in given],
        )
        cursor.executemany(
            f"UPDATE {_MIRRORED} SET spelling = %s, digest = %s WHERE id = %s",  # noqa: S608
            [(record.spelling, record.digest, pk) for record, _, _, _, pk in given],
        )
        unhashed = [(record.md5, record.size, file_id, pk) for record, sha256, _, file_id, pk in given if not sha256]
        for table, ids in ((_FILES, [file_id for _, _, file_id, _ in unhashed]), (_MIRRORED, [pk for *_, pk in unhashed])):
            cursor.executemany(
                f"UPDATE {table} SET md5 = %s, size = %s WHERE id = %s AND sha256 = ''",  # noqa: S608
                [(md5, size, one) for (md5, size, _, _), one in zip(unhashed, ids, strict=True)],
            )


def set_spellings(mirror_id: int, records: Iterable[UpstreamRecord]) -> None:
    """How the upstream writes these records now, of files that are shown."""
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {_MIRRORED} SET spelling = %s WHERE mirror_id = %s AND subdir = %s AND name = %s"  # noqa: S608
            f" AND filename = %s AND role IN ({marks(len(SHOWN_ROLES))})",
            [(one.spelling, mirror_id, one.subdir, one.name, one.filename, *SHOWN_ROLES) for one in records if one.spelling],
        )


def set_states(file_ids: Collection[int], state: FileState, reason: str, *, before: Collection[FileState], now: datetime) -> None:
    """Move these files between states, as far as they are in one of `before`."""
    at = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        for condition, ids in ranges(file_ids):
            cursor.execute(
                f"UPDATE {_FILES} SET state = %s, reason = %s, changed_at = %s"  # noqa: S608
                f" WHERE {condition} AND state IN ({marks(len(before))})",
                [state.value, reason, at, *ids, *(one.value for one in before)],
            )


def set_roles(mirrored_ids: Collection[int], role: str) -> None:
    with connection.cursor() as cursor:
        for condition, ids in ranges(mirrored_ids):
            cursor.execute(f"UPDATE {_MIRRORED} SET role = %s WHERE {condition}", [role, *ids])  # noqa: S608


def completed(record: UpstreamRecord, facts: Facts, sha256: str, size: int) -> str:
    """The record as it is shown: with the sha256 and size of its bytes, where the upstream did not say them."""
    if not sha256 or (facts.sha256 and facts.size is not None):
        return record.raw.decode()
    table = orjson.loads(record.raw)
    return orjson.dumps({**table, "sha256": sha256, "size": size}, option=orjson.OPT_SORT_KEYS).decode()


def by_key(rows: Iterable[tuple[str, str, T]]) -> Mapping[tuple[str, str], list[T]]:
    found: dict[tuple[str, str], list[T]] = {}
    for subdir, filename, value in rows:
        found.setdefault((subdir, filename), []).append(value)
    return found


def adopt(mirror: Mirror) -> None:
    """Know of what a channel shows already: files that the upstream may have, or not. The channel's row is taken."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_MIRRORED} ({', '.join(_MIRRORED_COLUMNS)})"  # noqa: S608
            f" SELECT %s, id, subdir, filename, name, sha256, md5, size, %s, %s, %s FROM {_FILES}"
            " WHERE channel_id = %s AND state IN ('live', 'yanked', 'held')",
            [mirror.pk, b"", b"", MirroredFile.Role.LEFT.value, mirror.channel_id],
        )
