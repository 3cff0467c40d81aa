"""Stage 2 of the index: the large files of a subdir, made after the revision is out; small ones are made while answering."""

from __future__ import annotations

import bz2
import hashlib
import tempfile
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, BinaryIO

import zstandard
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from channels_app.index import maps
from channels_app.index.assemble import WRITERS
from channels_app.index.render import ZSTD_LEVEL
from channels_app.models import Channel, IndexFile, Revision, SubdirState
from condahub.jobs.services import enqueue
from condahub.storage.blobs import TemporaryBlob, blobs
from condahub.storage.temporary import storage_errors

# A subdir of so many bytes of records is made while answering (nothing larger is ever compressed there).
SMALL_BYTES = 1_000_000
COPY_BYTES = 1024 * 1024
RENDER_KIND = "channels.render"
BZ2_KIND = "channels.bz2"
SUBDIR_KINDS = ("repodata.json", "run_exports.json", "current_repodata.json")
CHANNELDATA_DELAY_SECONDS = 10


def order(channel_id: int, subdirs: Iterable[str], sizes: dict[str, SubdirState]) -> None:
    """Ask for the large files of these subdirs; requests that come while one waits are that one. sizes: the head's."""
    for subdir in subdirs:
        if subdir in sizes and sizes[subdir]["bytes"] > SMALL_BYTES:
            order_one(channel_id, subdir)
    if total_bytes(sizes) > SMALL_BYTES:
        order_one(channel_id, "", after_seconds=CHANNELDATA_DELAY_SECONDS)


def order_one(channel_id: int, subdir: str, *, after_seconds: float = 0) -> None:
    """Ask for the large files of one subdir ('': channeldata.json)."""
    enqueue(
        kind=RENDER_KIND,
        lane="quick",
        payload={"channel": channel_id, "subdir": subdir},
        coalesce_key=f"{channel_id}/{subdir}",
        run_after=timezone.now() + timedelta(seconds=after_seconds),
    )


def total_bytes(sizes: dict[str, SubdirState]) -> int:
    return sum(one["bytes"] for one in sizes.values())


def last_change(sizes: dict[str, SubdirState], subdir: str) -> int:
    """The revision that last changed a subdir ('': any of them)."""
    if subdir == "":
        return max(one["revision"] for one in sizes.values())
    return sizes[subdir]["revision"] if subdir in sizes else 1


def render_head(channel_id: int, subdir: str) -> list[str]:
    """Make the files of a subdir ('' : channeldata.json) for the head; the kinds that were made.

    What most clients read is made first, and anew before each of the others where the head has moved meanwhile: it never waits for
    more than one of them.
    """
    if not subdir:
        return _make_for_head(channel_id, subdir, "channeldata.json")
    first, *others = SUBDIR_KINDS
    made = _make_for_head(channel_id, subdir, first)
    for kind in others:
        made += _make_for_head(channel_id, subdir, kind)
        made += _make_for_head(channel_id, subdir, first)
    return made


def _make_for_head(channel_id: int, subdir: str, kind: str) -> list[str]:
    number = Channel.objects.values_list("head", flat=True).get(pk=channel_id)
    return [kind] if make(channel_id, number, subdir, kind) is not None else []


def make(channel_id: int, number: int, subdir: str, kind: str) -> IndexFile | None:
    """Make one file for a revision, compressed, and point to it; None when it is there already."""
    sizes = Revision.objects.values_list("subdirs", flat=True).get(channel_id=channel_id, number=number)
    changed = last_change(sizes, subdir)
    where = {"channel_id": channel_id, "subdir": subdir, "kind": kind, "revision": changed}
    if IndexFile.objects.filter(**where).exists():
        return None
    shards = maps.load(channel_id, number)
    with storage_errors("making an index file"), tempfile.TemporaryFile(dir=settings.CONDAHUB_TEMP_DIR) as plain:
        sink = _HashingSink(plain)
        WRITERS[kind](channel_id, subdir, shards, sink)
        plain.seek(0)
        store = blobs("index")
        with store.temporary(expected_bytes=sink.size // 4) as temporary:
            compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj(size=sink.size)
            while block := plain.read(COPY_BYTES):
                temporary.write(compressor.compress(block))
            temporary.write(compressor.flush())
            store.keep(temporary)
    return _point(where, content=(sink.sha256, sink.size), stored=temporary)


class _HashingSink:
    """Counts and hashes what passes on its way into a file."""

    def __init__(self, file: BinaryIO | Any) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        self._file.write(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@transaction.atomic
def _point(where: dict[str, Any], *, content: tuple[str, int], stored: TemporaryBlob) -> IndexFile:
    """The pointer only ever appears whole; two makers of the same revision made the same content."""
    found, _ = IndexFile.objects.get_or_create(
        **where,
        defaults={"content_sha256": content[0], "content_size": content[1], "sha256": stored.sha256, "size": stored.size},
    )
    return found


def expanded(file: IndexFile) -> IndexFile:
    """The same file uncompressed, made from the stored one on first demand and kept."""
    kind = f"{file.kind} plain"
    where = {"channel_id": file.channel_id, "subdir": file.subdir, "kind": kind, "revision": file.revision}
    if (found := IndexFile.objects.filter(**where).first()) is not None:
        return found
    store = blobs("index")
    with store.temporary(expected_bytes=file.content_size) as temporary:
        sink = _HashingSink(temporary)
        with store.open(file.sha256) as source:
            for block in zstandard.ZstdDecompressor().read_to_iter(source, read_size=COPY_BYTES, write_size=COPY_BYTES):
                sink.write(block)
        store.keep(temporary)
    return _point(where, content=(sink.sha256, sink.size), stored=temporary)


def order_bz2(file: IndexFile) -> None:
    """Ask for the .bz2 of this stored file; old clients want it, and it costs 20 s of a core at 300 MB."""
    enqueue(kind=BZ2_KIND, lane="heavy", payload={"file": file.pk}, coalesce_key=str(file.pk))


def make_bz2(file: IndexFile) -> IndexFile:
    """Recompress a stored file as .bz2."""
    store = blobs("index")
    with store.temporary(expected_bytes=file.size) as temporary:
        compressor = bz2.BZ2Compressor()
        with store.open(file.sha256) as source:
            for block in zstandard.ZstdDecompressor().read_to_iter(source, read_size=COPY_BYTES, write_size=COPY_BYTES):
                temporary.write(compressor.compress(block))
        temporary.write(compressor.flush())
        store.keep(temporary)
    where = {"channel_id": file.channel_id, "subdir": file.subdir, "kind": f"{file.kind} bz2", "revision": file.revision}
    return _point(where, content=(file.content_sha256, file.content_size), stored=temporary)
