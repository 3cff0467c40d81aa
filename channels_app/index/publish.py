"""Stage 1 of the index: turns dirty names into shards and a new revision, one group commit for all who wait.

What a client was told to be published is in the shards by then. Cost follows the change, not the channel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from channels_app.index import maps, stage2
from channels_app.index.beside import Batch, Key, Rendered, render, render_all
from channels_app.index.render import CODEC, RENDERER, FileRow
from channels_app.models import Channel, DirtyName, Effect, FileState, PackageFile, Revision, Shard, SubdirState
from condahub.bulk import insert

# Past so many dirty names, shards are rendered before the transaction, so that other writers do not wait.
RENDER_AHEAD_NAMES = 100
CHUNK_NAMES = 200
ROW_FIELDS = ("filename", "state", "record", "run_exports", "about", "patch", "revoked", "verdict")
_ROWS = f"SELECT subdir, name, {', '.join(ROW_FIELDS)} FROM {PackageFile._meta.db_table} WHERE channel_id = %s AND name IN ({{}})"  # noqa: S608
_SHARD_COLUMNS = ("subdir", "name", "sha256", "payload", "fragment", "records", "json_bytes")

# Which change of a name a shard was rendered at: the row's id too, as a row made anew counts from 1 again.
Mark = tuple[int, int]
# Hashes of shards that are made and stored already (None: of a name with nothing to show), with the marks that they are right at.
Ahead = dict[Key, tuple[Mark, bytes | None]]


def _mark(dirty: DirtyName) -> Mark:
    return dirty.pk, dirty.serial


class _Locks:
    """One lock a channel: whoever waits at it finds, most often, that the one before has done its work too."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[int, threading.Lock] = {}

    def of(self, channel_id: int) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(channel_id, threading.Lock())


_locks = _Locks()
_followers: list[Callable[[int], object]] = []
_unseen: list[Callable[[int, set[str]], object]] = []


def register_follower(follow: Callable[[int], object], *, unseen: Callable[[int, set[str]], object]) -> None:
    """For what is made of channels: called with a channel's id before whoever publishes there is told that it is done.

    unseen: called in the publishing transaction with names that changed while nothing of them is shown.
    """
    if follow not in _followers:
        _followers.append(follow)
        _unseen.append(unseen)


def mark_dirty(channel_id: int, keys: Iterable[tuple[str, str]], *, cause: str = "", waits: bool = False) -> None:
    """Say that the shards of these (subdir, name) no longer match.

    Call it in the transaction that changes the files and that has taken the channel's row (select_for_update): the row is
    what puts changes and revisions of one channel in order. waits: they are part of a large change, which is to become one
    revision by `publish_dirty(..., waiting=True)` when it is complete; nobody who publishes meanwhile renders them.
    """
    rows = [
        DirtyName(channel_id=channel_id, subdir=subdir, name=name, cause=cause[:200], waits=waits) for subdir, name in sorted(set(keys))
    ]
    known = set()
    for start in range(0, len(rows), CHUNK_NAMES):
        chunk = rows[start : start + CHUNK_NAMES]
        existing = DirtyName.objects.filter(channel_id=channel_id, name__in=[row.name for row in chunk])
        for dirty in existing:
            known.add((dirty.subdir, dirty.name))
    DirtyName.objects.bulk_create([row for row in rows if (row.subdir, row.name) not in known], batch_size=500, ignore_conflicts=True)
    for subdir in {subdir for subdir, _ in known}:
        names = [row.name for row in rows if row.subdir == subdir and (subdir, row.name) in known]
        for start in range(0, len(names), CHUNK_NAMES):
            marked = DirtyName.objects.filter(channel_id=channel_id, subdir=subdir, name__in=names[start : start + CHUNK_NAMES])
            # What somebody was told to be published waits for nothing.
            marked.update(serial=F("serial") + 1, cause=cause[:200], **({} if waits else {"waits": False}))


def right_now(channel_id: int, hashes: Mapping[Key, bytes]) -> Ahead:
    """These shards, which were stored already (`store_shards`), as what `publish_dirty` need not render.

    In the transaction that marked their names, by who knows that they are of the very files that are shown now.
    """
    rows = DirtyName.objects.filter(channel_id=channel_id).values_list("subdir", "name", "pk", "serial")
    marks = {(subdir, name): mark for subdir, name, *mark in rows.iterator(chunk_size=10_000)}
    return {key: ((marks[key][0], marks[key][1]), sha256) for key, sha256 in hashes.items() if key in marks}


def publish_dirty(channel_id: int, *, waiting: bool = False, ahead: Ahead | None = None) -> int:
    """Publish everything marked so far, as one revision; the number of the revision that shows it.

    waiting: the names of a large change too, which is complete now; ahead: see `right_now`. Called after the transaction that marked;
    a process that died in between is made good by the settle job.
    """
    number = publish_alone(channel_id, waiting=waiting, ahead=ahead)
    # Also where another thread did the work: what is made of this channel may not have followed yet.
    for follow in _followers:
        follow(channel_id)
    return number


def publish_alone(channel_id: int, *, waiting: bool = False, ahead: Ahead | None = None) -> int:
    """The same, and nothing that is made of the channel follows yet."""
    made = ahead or {}
    if not _dirty(channel_id, waiting).exists():
        return _head(channel_id)
    if waiting:
        # Past the lock: whoever publishes meanwhile has other names, and must not wait for so many.
        return _commit(channel_id, {**made, **_render_ahead(channel_id, _behind(_dirty(channel_id, waiting), made))}, waiting)
    with _locks.of(channel_id):
        dirty = list(_dirty(channel_id, waiting))
        if not dirty:
            return _head(channel_id)
        if len(behind := _behind(dirty, made)) > RENDER_AHEAD_NAMES:
            made = {**made, **_render_ahead(channel_id, behind)}
        return _commit(channel_id, made, waiting)


def _behind(dirty: Iterable[DirtyName], made: Ahead) -> list[DirtyName]:
    """Those whose shards are not made yet."""
    return [one for one in dirty if made.get(Key(one.subdir, one.name), (None, None))[0] != _mark(one)]


def _dirty(channel_id: int, waiting: bool) -> QuerySet[DirtyName]:
    found = DirtyName.objects.filter(channel_id=channel_id)
    return found if waiting else found.filter(waits=False)


def found_channel(channel: Channel) -> None:
    """Revision 1: empty, with the mandatory noarch (CEP-26). In the transaction that makes the channel."""
    empty: maps.ShardMap = {"noarch": {}}
    write_revision(channel, empty, empty, {"noarch": Tally()}, cause="channel created")


def _head(channel_id: int) -> int:
    return Channel.objects.values_list("head", flat=True).get(pk=channel_id)


@transaction.atomic
def _commit(channel_id: int, ahead: Ahead, waiting: bool) -> int:
    channel = Channel.objects.select_for_update().get(pk=channel_id)
    dirty = list(_dirty(channel_id, waiting))
    if not dirty:
        return channel.head
    current = maps.load(channel_id, channel.head)
    fresh: dict[Key, bytes | None] = {}
    behind: list[DirtyName] = []
    for one in dirty:
        key = Key(one.subdir, one.name)
        rendered = ahead.get(key)
        if rendered is not None and rendered[0] == _mark(one):
            fresh[key] = rendered[1]
        else:
            behind.append(one)
    fresh.update(_render(channel_id, behind))
    delta: maps.ShardDelta = {}
    for key, sha256 in fresh.items():
        if current.get(key.subdir, {}).get(key.name) != sha256:
            delta.setdefault(key.subdir, {})[key.name] = sha256
    # Every writer takes the channel's row before it marks: these are all there are.
    _dirty(channel_id, waiting).delete()
    if hidden := {key.name for key, sha256 in fresh.items() if current.get(key.subdir, {}).get(key.name) == sha256}:
        for tell in _unseen:
            tell(channel_id, hidden)
    if not delta:
        return channel.head
    tallies = tallies_of(channel_id, current, delta)
    causes = sorted({one.cause for one in dirty if one.cause})
    cause = causes[0] if len(causes) == 1 else f"{len(dirty)} changes" if causes else ""
    return write_revision(channel, maps.apply_delta(current, delta), delta, tallies, cause=cause)


class Tally:
    """How a subdir's records and bytes change."""

    def __init__(self) -> None:
        self.names = self.records = self.bytes = 0


def tallies_of(channel_id: int, current: maps.ShardMap, delta: maps.ShardDelta) -> dict[str, Tally]:
    """What a delta changes of each subdir that it names; the shards of both sides are there."""
    result = {}
    for subdir, changes in delta.items():
        tally = result[subdir] = Tally()
        old = [sha for name in changes if (sha := current.get(subdir, {}).get(name)) is not None]
        new = [sha for sha in changes.values() if sha is not None]
        tally.names = len(new) - len(old)
        for sign, hashes in ((-1, old), (1, new)):
            sizes: dict[bytes, tuple[int, int]] = {}
            for start in range(0, len(hashes), CHUNK_NAMES):
                found = Shard.objects.filter(channel_id=channel_id, subdir=subdir, sha256__in=hashes[start : start + CHUNK_NAMES])
                sizes.update({bytes(sha): (records, size) for sha, records, size in found.values_list("sha256", "records", "json_bytes")})
            for sha in hashes:
                records, size = sizes[sha]
                tally.records += sign * records
                tally.bytes += sign * size
    return result


def write_revision(
    channel: Channel, shards: maps.ShardMap, delta: maps.ShardDelta | maps.ShardMap, tallies: dict[str, Tally], *, cause: str
) -> int:
    """The next revision, whole map and delta, and the head moved to it; in the transaction that has taken the channel's row."""
    number = channel.head + 1
    before: dict[str, SubdirState] = {}
    if channel.head:
        before = Revision.objects.values_list("subdirs", flat=True).get(channel=channel, number=channel.head)
    subdirs = dict(before)
    created_at = _now_in_milliseconds()
    for subdir, tally in tallies.items():
        old = before.get(subdir) or SubdirState(revision=0, changed_at="", names=0, records=0, bytes=0)
        subdirs[subdir] = {
            "revision": number,
            "changed_at": in_milliseconds(created_at),
            "names": old["names"] + tally.names,
            "records": old["records"] + tally.records,
            "bytes": old["bytes"] + tally.bytes,
        }
    large = sum(len(changes) for changes in delta.values()) * 4 > sum(len(names) for names in shards.values())
    checkpoint = maps.encode_delta(shards) if number == 1 or number % maps.CHECKPOINT_EVERY == 0 or (large and number > 8) else None
    Revision.objects.create(
        channel=channel,
        number=number,
        created_at=created_at,
        cause=cause[:200],
        renderer=RENDERER,
        codec=CODEC,
        delta=maps.encode_delta(delta),
        checkpoint=checkpoint,
        subdirs=subdirs,
    )
    moved = Channel.objects.filter(pk=channel.pk, head=channel.head).update(head=number)
    if moved != 1:
        raise RuntimeError(f"the head of channel {channel.pk} moved while its row was taken")
    channel.head = number
    # In the same transaction: a process that dies after it would leave the large files behind the head for good.
    stage2.order(channel.pk, sorted(tallies), subdirs)
    transaction.on_commit(lambda: maps.remember(channel.pk, number, shards))
    return number


def _now_in_milliseconds() -> datetime:
    now = timezone.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def in_milliseconds(moment: datetime) -> str:
    """ISO 8601 in UTC, as the index's files write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _render(channel_id: int, dirty: Sequence[DirtyName]) -> dict[Key, bytes | None]:
    """Render these names from their files and store the shards; the hash of each, None for a name with nothing to show."""
    result: dict[Key, bytes | None] = {}
    for start in range(0, len(dirty), CHUNK_NAMES):
        chunk = [Key(one.subdir, one.name) for one in dirty[start : start + CHUNK_NAMES]]
        rendered = render(_rows(channel_id, chunk))
        store_shards(channel_id, rendered)
        result.update({key: one.sha256 if one else None for key, one in rendered.items()})
    return result


def _rows(channel_id: int, keys: Sequence[Key]) -> Batch:
    rows: Batch = {key: [] for key in keys}
    names = sorted({key.name for key in keys})
    with connection.cursor() as cursor:
        # Past the ORM, which takes twice as long for so many short rows.
        cursor.execute(_ROWS.format(", ".join(["%s"] * len(names))), [channel_id, *names])
        for subdir, name, *values in cursor.fetchall():
            if (several := rows.get(Key(subdir, name))) is not None:
                several.append(file_row(values))
    return rows


def file_row(values: Sequence[Any]) -> FileRow:
    """What the renderer is given of a PackageFile's ROW_FIELDS: a live file that policy hides is a held one to it."""
    filename, state, record, run_exports, about, patch, revoked, verdict = values
    if verdict != Effect.ALLOW and state == FileState.LIVE:
        state = FileState.HELD
    # SQLite has no booleans of its own.
    return FileRow(filename, state, record, run_exports, about, patch, bool(revoked))


def store_shards(channel_id: int, rendered: Rendered) -> None:
    """Those that are not there yet; in a transaction."""
    rows = [
        (key.subdir, key.name, one.sha256, one.payload, one.fragment, one.records, one.json_bytes)
        for key, one in rendered.items()
        if one is not None
    ]
    insert(Shard._meta.db_table, {"channel_id": channel_id}, _SHARD_COLUMNS, rows, skip_existing=True)


def _render_ahead(channel_id: int, dirty: Sequence[DirtyName]) -> Ahead:
    """Render outside of the publishing transaction; each hash with the mark that it was rendered at."""
    marks = {Key(one.subdir, one.name): _mark(one) for one in dirty}
    keys = list(marks)
    batches = (_rows(channel_id, keys[start : start + CHUNK_NAMES]) for start in range(0, len(keys), CHUNK_NAMES))
    result: Ahead = {}
    for rendered in render_all(batches, names=len(keys)):
        with transaction.atomic():
            store_shards(channel_id, rendered)
        result.update({key: (marks[key], one.sha256 if one else None) for key, one in rendered.items()})
    return result
