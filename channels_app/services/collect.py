"""What channels leave behind: past revisions, their shards, deleted files, superseded index files, bytes that nobody holds.

Bytes go last and under a lock that `claim_blobs` takes too, so that a publish which finds the same bytes in the store, while
they are being collected, either keeps them or stores its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from channels_app.models import Blob, IndexFile, PackageFile
from condahub.errors import Unavailable
from condahub.ops.gc import Collected, Sweep
from condahub.storage.blobs import BlobEntry, BlobStore, TemporaryBlob, blobs, sweep_temporary

BATCH = 500
TAKE_TRIES = 10


def claim_blobs(temporaries: Iterable[TemporaryBlob]) -> dict[str, Blob]:
    """The rows of bytes that were kept, by sha256, taken until the caller's transaction ends; the bytes are certain to be stored.

    To be called inside the transaction that makes PackageFiles refer to them. A collection of the same bytes is over by the
    time the row is taken, or waits for it; when it is over, the bytes are stored again.
    """
    store = blobs("packages")
    claimed: dict[str, Blob] = {}
    # In one order for everybody, so that two batches with the same files do not wait for each other.
    for temporary in sorted(temporaries, key=lambda one: one.sha256):
        if temporary.sha256 in claimed:
            continue
        claimed[temporary.sha256] = _take_row(temporary.sha256, md5=temporary.md5, size=temporary.size)
        if not temporary.kept:
            # The store had these bytes already when they were kept: look once more, now that nobody can take them away.
            store.keep(temporary)
    return claimed


def claim_many(temporaries: Iterable[TemporaryBlob]) -> dict[str, Blob]:
    """The same for a large batch, in a few queries."""
    store = blobs("packages")
    wanted = {one.sha256: one for one in sorted(temporaries, key=lambda one: one.sha256)}
    made = [Blob(sha256=one.sha256, md5=one.md5, size=one.size) for one in wanted.values()]
    Blob.objects.bulk_create(made, batch_size=BATCH, ignore_conflicts=True)
    claimed: dict[str, Blob] = {}
    hashes = list(wanted)
    for start in range(0, len(hashes), BATCH):
        found = Blob.objects.select_for_update().filter(sha256__in=hashes[start : start + BATCH]).order_by("sha256")
        claimed.update({blob.sha256: blob for blob in found})
    for sha256, one in wanted.items():
        if sha256 not in claimed:
            claimed[sha256] = _take_row(sha256, md5=one.md5, size=one.size)
        if not one.kept:
            store.keep(one)
    return claimed


def _take_row(sha256: str, *, md5: str, size: int) -> Blob:
    """The row, made if need be, locked until the end of the transaction."""
    for _ in range(TAKE_TRIES):
        try:
            return Blob.objects.select_for_update().get_or_create(sha256=sha256, defaults={"md5": md5, "size": size})[0]
        except IntegrityError:
            # It came and went between two looks.
            continue
    raise Unavailable("Others are changing the same package at the moment; try again.", retry_after_seconds=1)


def collect_blobs(sweep: Sweep) -> Iterator[Collected]:
    """Bytes in the store, and rows about bytes, that no file of any channel refers to."""
    store = blobs("packages")
    count = size = 0
    for batch in _batches(_old_entries(store, sweep)):
        sweep.check()
        held = set(PackageFile.objects.filter(blob__sha256__in=[one.sha256 for one in batch]).values_list("blob__sha256", flat=True))
        for entry in batch:
            if entry.sha256 not in held and (sweep.dry_run or _drop_blob(store, entry.sha256, sweep)):
                count, size = count + 1, size + entry.size
    yield Collected("package bytes", count, size)
    yield Collected("rows without bytes or files", _drop_empty_rows(store, sweep))


def _old_entries(store: BlobStore, sweep: Sweep) -> Iterator[BlobEntry]:
    cutoff = sweep.cutoff.timestamp()
    return (entry for entry in store.iterate() if entry.mtime < cutoff)


def _batches(entries: Iterator[BlobEntry]) -> Iterator[list[BlobEntry]]:
    while batch := list(islice(entries, BATCH)):
        yield batch


def _drop_blob(store: BlobStore, sha256: str, sweep: Sweep) -> bool:
    """Row first, bytes second, in one transaction that holds the row; False when somebody refers to it or kept it just now.

    Killed in between, the row comes back without a file that refers to it, and the next collection finishes the work.
    """
    with transaction.atomic():
        # Where there is no row, one is made: it is what a publish of the same bytes waits for.
        blob = _take_row(sha256, md5="", size=0)
        if PackageFile.objects.filter(blob=blob).exists():
            return False
        blob.delete()
        if store.delete(sha256, kept_before=sweep.cutoff.timestamp()):
            return True
        transaction.set_rollback(True)
        return False


def _drop_empty_rows(store: BlobStore, sweep: Sweep) -> int:
    """Rows whose bytes went by a collection that was killed before it could say so."""
    count = 0
    loose = Blob.objects.filter(files__isnull=True, created_at__lt=sweep.cutoff).values_list("pk", "sha256").order_by("pk")
    for pk, sha256 in list(loose):
        sweep.check()
        if store.exists(sha256):
            continue
        count += 1
        if not sweep.dry_run:
            with transaction.atomic():
                blob = Blob.objects.select_for_update().filter(pk=pk).first()
                if blob is not None and not PackageFile.objects.filter(blob=blob).exists() and not store.exists(sha256):
                    blob.delete()
    return count


def collect_index_files(sweep: Sweep) -> Iterator[Collected]:
    """Stored files of the index that a newer one supersedes. All of them can be made again from shards."""
    store = blobs("index")
    rows = _superseded(sweep)
    lost = _without_bytes(store)
    gone = rows + lost
    if not sweep.dry_run:
        for start in range(0, len(gone), BATCH):
            IndexFile.objects.filter(pk__in=gone[start : start + BATCH]).delete()
    yield Collected("superseded index files", len(rows))
    yield Collected("index files without bytes", len(lost))
    count = size = 0
    for batch in _batches(_old_entries(store, sweep)):
        sweep.check()
        named = IndexFile.objects.filter(sha256__in=[one.sha256 for one in batch])
        if sweep.dry_run:
            named = named.exclude(pk__in=gone)
        held = set(named.values_list("sha256", flat=True))
        for entry in batch:
            if entry.sha256 in held:
                continue
            if sweep.dry_run or store.delete(entry.sha256, kept_before=sweep.cutoff.timestamp()):
                count, size = count + 1, size + entry.size
    yield Collected("index bytes", count, size)


def _superseded(sweep: Sweep) -> list[int]:
    """All but the newest of each kind: that one is served while the next is made."""
    newest = {
        (channel_id, subdir, kind): revision
        for channel_id, subdir, kind, revision in IndexFile.objects.order_by()
        .values_list("channel_id", "subdir", "kind")
        .annotate(newest=Max("revision"))
    }
    old = IndexFile.objects.filter(created_at__lt=sweep.cutoff).values_list("pk", "channel_id", "subdir", "kind", "revision").order_by("pk")
    return [pk for pk, channel_id, subdir, kind, revision in old if newest.get((channel_id, subdir, kind), revision) > revision]


def _without_bytes(store: BlobStore) -> list[int]:
    """Rows that point to bytes the store lost; without the row the file is made again when it is asked for."""
    return [pk for pk, sha256 in IndexFile.objects.order_by("pk").values_list("pk", "sha256") if not store.exists(sha256)]


def collect_temporary(sweep: Sweep) -> Iterator[Collected]:
    """Uploads that killed processes left half received."""
    if not sweep.dry_run:
        age = (timezone.now() - sweep.cutoff).total_seconds()
        yield Collected("unfinished uploads", sweep_temporary(age))
