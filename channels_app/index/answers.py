"""What a client gets for a file of the index: bytes made now for small subdirs, a stored file for large ones."""

from __future__ import annotations

import bz2
import hashlib
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from typing import NamedTuple

from django.db import DatabaseError
from django.utils import timezone

from channels_app.index import maps, stage2
from channels_app.index.assemble import WRITERS
from channels_app.index.render import shard_index, zstd_compress, zstd_decompress
from channels_app.models import IndexFile, Revision, Shard, SubdirState

log = logging.getLogger(__name__)
REMEMBERED_BYTES = 128 * 1024 * 1024
# What an entry costs besides its bytes; anybody can ask for any number of empty subdirs.
ENTRY_BYTES = 1024
# A large file is made within seconds of its revision; one that is behind for so long has lost its job.
LATE_SECONDS = 60
BZ2_EVERY_SECONDS = 3600
SHARD_INDEX = "repodata_shards.msgpack.zst"
MEDIA_TYPES = {"json": "application/json", "zst": "application/zstd", "bz2": "application/x-bzip2"}


__all__ = ["SHARD_INDEX", "Answer", "answer", "etag_of", "shard", "view", "zstd_decompress"]


def etag_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Answer(NamedTuple):
    """Either `body`, or the hash of a file in the store's namespace "index".

    sha256: hex, of the bytes sent; revision: the one whose content this is; changed_at: when that content came to be.
    """

    body: bytes | None
    sha256: str
    size: int
    media_type: str
    revision: int
    changed_at: datetime


class _Memory:
    """Small answers of this process, the least used dropped first."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit, self._held = limit_bytes, 0
        self._lock = threading.Lock()
        self._items: OrderedDict[tuple[object, ...], Answer] = OrderedDict()

    def get(self, key: tuple[object, ...]) -> Answer | None:
        with self._lock:
            if (found := self._items.get(key)) is not None:
                self._items.move_to_end(key)
            return found

    def put(self, key: tuple[object, ...], answer: Answer) -> None:
        with self._lock:
            if (old := self._items.pop(key, None)) is not None:
                self._held -= old.size + ENTRY_BYTES
            self._items[key] = answer
            self._held += answer.size + ENTRY_BYTES
            while self._held > self._limit and len(self._items) > 1:
                self._held -= self._items.popitem(last=False)[1].size + ENTRY_BYTES

    def forget_all(self) -> None:
        with self._lock:
            self._items.clear()
            self._held = 0


class _View(NamedTuple):
    """Of a revision: when it was made and what its subdirs measure; immutable, so remembered."""

    created_at: datetime
    subdirs: dict[str, SubdirState]


_SHA256 = re.compile(r"[0-9a-f]{64}")
_memory = _Memory(REMEMBERED_BYTES)
_views: OrderedDict[tuple[int, int], _View] = OrderedDict()
_views_lock = threading.Lock()


def view(channel_id: int, number: int) -> _View:
    """Raises Revision.DoesNotExist."""
    key = (channel_id, number)
    with _views_lock:
        if (found := _views.get(key)) is not None:
            return found
    made = _View(*Revision.objects.values_list("created_at", "subdirs").get(channel_id=channel_id, number=number))
    with _views_lock:
        _views[key] = made
        while len(_views) > 4096:
            _views.popitem(last=False)
    return made


def answer(channel_id: int, number: int, subdir: str, filename: str, *, is_head: bool) -> Answer | None:
    """The file of revision `number`; of the head's large files the last one made. None: there is no such file.

    Raises Revision.DoesNotExist for a revision that is not kept.
    """
    base, _, encoding = filename.rpartition(".") if filename.endswith((".zst", ".bz2")) else (filename, "", "json")
    if filename != SHARD_INDEX and base not in WRITERS:
        return None
    if (base == "channeldata.json") != (subdir == ""):
        return None
    revision = view(channel_id, number)
    changed = stage2.last_change(revision.subdirs, subdir)
    key = (channel_id, subdir, filename, changed)
    if (found := _memory.get(key)) is not None:
        return found._replace(revision=number)
    if filename == SHARD_INDEX:
        made = _shard_index(channel_id, number, subdir, _changed_at(revision, subdir))
    elif _size(revision, subdir) <= stage2.SMALL_BYTES:
        made = _small(channel_id, number, subdir, base, encoding, _changed_at(revision, subdir))
    else:
        return _stored(channel_id, number, subdir, base, encoding, revision, is_head=is_head)
    _memory.put(key, made)
    return made


def shard(channel_id: int, subdir: str, sha256: str) -> bytes | None:
    """A shard's bytes by its address, if this channel's index holds or held it."""
    if _SHA256.fullmatch(sha256) is None:
        return None
    raw = bytes.fromhex(sha256)
    key = (channel_id, subdir, "shard", sha256)
    if (found := _memory.get(key)) is not None:
        return found.body
    payload = Shard.objects.filter(channel_id=channel_id, subdir=subdir, sha256=raw).values_list("payload", flat=True).first()
    if payload is None:
        return None
    body = bytes(payload)
    _memory.put(key, Answer(body, sha256, len(body), MEDIA_TYPES["zst"], 0, timezone.now()))
    return body


def _size(revision: _View, subdir: str) -> int:
    if subdir == "":
        return stage2.total_bytes(revision.subdirs)
    return revision.subdirs[subdir]["bytes"] if subdir in revision.subdirs else 0


def _changed_at(revision: _View, subdir: str) -> str:
    """When the content came to be; a subdir that never held anything has none, and says the epoch."""
    if subdir == "":
        return max(one["changed_at"] for one in revision.subdirs.values())
    return revision.subdirs[subdir]["changed_at"] if subdir in revision.subdirs else "1970-01-01T00:00:00.000Z"


def _shard_index(channel_id: int, number: int, subdir: str, changed_at: str) -> Answer:
    shards = maps.load(channel_id, number).get(subdir, {})
    return _answer(zstd_compress(shard_index(subdir=subdir, shards=shards, created_at=changed_at)), "zst", number, changed_at)


def _small(channel_id: int, number: int, subdir: str, base: str, encoding: str, changed_at: str) -> Answer:
    sink = BytesIO()
    WRITERS[base](channel_id, subdir, maps.load(channel_id, number), sink)
    plain = sink.getvalue()
    body = {"json": lambda: plain, "zst": lambda: zstd_compress(plain), "bz2": lambda: bz2.compress(plain)}[encoding]()
    return _answer(body, encoding, number, changed_at)


def _answer(body: bytes, encoding: str, number: int, changed_at: str) -> Answer:
    return Answer(body, etag_of(body), len(body), MEDIA_TYPES[encoding], number, datetime.fromisoformat(changed_at))


def _stored(channel_id: int, number: int, subdir: str, base: str, encoding: str, revision: _View, *, is_head: bool) -> Answer | None:
    changed = stage2.last_change(revision.subdirs, subdir)
    files = IndexFile.objects.filter(channel_id=channel_id, subdir=subdir, kind=base)
    file = files.filter(revision=changed).first()
    if file is None and is_head:
        # The last one made is served until the next is ready; nobody waits for it.
        file = files.filter(revision__lt=changed).order_by("-revision").first()
        if file is not None and _is_late(_changed_at(revision, subdir)):
            _ask_for(lambda: stage2.order_one(channel_id, subdir))
    if file is None:
        stage2.make(channel_id, number, subdir, base)
        file = files.get(revision=changed)
    shown = number if file.revision == changed else file.revision
    if encoding == "bz2":
        return _bz2(file, shown, is_head=is_head)
    if encoding == "json":
        file = stage2.expanded(file)
    return Answer(None, file.sha256, file.size, MEDIA_TYPES[encoding], shown, file.created_at)


def _ask_for(order: Callable[[], None]) -> None:
    """Reads go on where nothing can be written, on a full disk for instance."""
    try:
        order()
    except DatabaseError:
        log.warning("a file of the index could not be ordered", exc_info=True)


def _is_late(changed_at: str) -> bool:
    return (timezone.now() - datetime.fromisoformat(changed_at)).total_seconds() > LATE_SECONDS


def _bz2(file: IndexFile, shown: int, *, is_head: bool) -> Answer | None:
    """The last .bz2 made, with a new one ordered when it is over an hour old; none until the first is ready.

    Of a past revision its own alone.
    """
    files = IndexFile.objects.filter(channel_id=file.channel_id, subdir=file.subdir, kind=f"{file.kind} bz2")
    files = files.filter(revision__lte=file.revision) if is_head else files.filter(revision=file.revision)
    made = files.order_by("-revision").first()
    too_old = made is None or (made.revision != file.revision and (timezone.now() - made.created_at).total_seconds() > BZ2_EVERY_SECONDS)
    if too_old:
        _ask_for(lambda: stage2.order_bz2(file))
    if made is None:
        return None
    return Answer(
        None, made.sha256, made.size, MEDIA_TYPES["bz2"], shown if made.revision == file.revision else made.revision, made.created_at
    )


def forget_all() -> None:
    """For tests: a process that has just started remembers nothing."""
    _memory.forget_all()
    with _views_lock:
        _views.clear()
