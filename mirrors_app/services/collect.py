"""What mirrors leave behind: files of runs that never came to their revision, raw indexes and reports that nothing names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from django.db import transaction
from django.db.models import Q, QuerySet

from channels_app.models import Channel, FileState, PackageFile
from channels_app.services import quotas
from condahub.ops.gc import Collected, Sweep
from condahub.storage.blobs import blobs
from mirrors_app.filling.publishing import NAMESPACE
from mirrors_app.models import MirroredFile, SyncRun, UpstreamRevision

BATCH = 500


def collect_staged(sweep: Sweep) -> Iterator[Collected]:
    """Files that a run fetched and no later run has shown within the grace period; bytes set aside behind others of their name stay."""
    count = size = 0
    for pks in _batches(_left_behind(sweep)):
        sweep.check()
        for channel_id in set(PackageFile.objects.filter(pk__in=pks).values_list("channel_id", flat=True)):
            files, bytes_ = _forget(channel_id, pks, sweep)
            count, size = count + files, size + bytes_
    yield Collected("fetched and never shown", count, size)


def _left_behind(sweep: Sweep) -> QuerySet[PackageFile]:
    old = PackageFile.objects.filter(state=FileState.ASIDE, changed_at__lt=sweep.cutoff)
    return old.filter(Q(mirrored__isnull=True) | Q(mirrored__role=MirroredFile.Role.STAGED))


def _batches(files: QuerySet[PackageFile]) -> Iterator[list[int]]:
    pks = iter(list(files.order_by("pk").values_list("pk", flat=True)))
    while batch := list(islice(pks, BATCH)):
        yield batch


@transaction.atomic
def _forget(channel_id: int, pks: list[int], sweep: Sweep) -> tuple[int, int]:
    """With the channel's row taken, so that no run is about to show them. (files, bytes) that went."""
    channel = Channel.objects.select_for_update(of=("self",)).select_related("organization").get(pk=channel_id)
    files = _left_behind(sweep).filter(pk__in=pks, channel=channel)
    found = list(files.values_list("pk", flat=True))
    # What has no bytes here was never counted.
    size = sum(files.filter(blob__isnull=False).values_list("size", flat=True))
    if not sweep.dry_run:
        MirroredFile.objects.filter(file_id__in=found).delete()
        PackageFile.objects.filter(pk__in=found).delete()
        quotas.add(channel, -size)
    return len(found), size


def collect_upstream(sweep: Sweep) -> Iterator[Collected]:
    """Stored indexes and reports that no row names any more."""
    store = blobs(NAMESPACE)
    count = size = 0
    old = (entry for entry in store.iterate() if entry.mtime < sweep.cutoff.timestamp())
    while batch := list(islice(old, BATCH)):
        sweep.check()
        hashes = [entry.sha256 for entry in batch]
        named = set(UpstreamRevision.objects.filter(stored__in=hashes).values_list("stored", flat=True))
        named |= set(SyncRun.objects.filter(report_stored__in=hashes).values_list("report_stored", flat=True))
        for entry in batch:
            if entry.sha256 in named:
                continue
            if sweep.dry_run or store.delete(entry.sha256, kept_before=sweep.cutoff.timestamp()):
                count, size = count + 1, size + entry.size
    yield Collected("upstream indexes and reports", count, size)
