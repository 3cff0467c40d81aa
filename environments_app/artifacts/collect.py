"""Bytes of artifacts and wheels that nothing names any more, and how many an organization's artifacts are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from condahub.ops.gc import Collected, Sweep
from condahub.storage.blobs import BlobEntry, blobs
from environments_app.models import Build, BuildArtifact, Wheel

NAMESPACE = "artifacts"
BATCH = 500


def collect_artifacts(sweep: Sweep) -> Iterator[Collected]:
    """A blob that is kept again while this runs is young again, and stays."""
    store = blobs(NAMESPACE)
    cutoff = sweep.cutoff.timestamp()
    old = (entry for entry in store.iterate() if entry.mtime < cutoff)
    count = size = 0
    while batch := list(islice(old, BATCH)):
        sweep.check()
        held = _held(batch)
        for entry in batch:
            if entry.sha256 in held:
                continue
            if sweep.dry_run or store.delete(entry.sha256, kept_before=cutoff):
                count, size = count + 1, size + entry.size
    yield Collected("artifact bytes", count, size)


def _held(batch: list[BlobEntry]) -> set[str]:
    digests = [entry.sha256 for entry in batch]
    held = set(BuildArtifact.objects.filter(sha256__in=digests).values_list("sha256", flat=True))
    held |= set(Build.objects.filter(scripts_sha256__in=digests).values_list("scripts_sha256", flat=True))
    return held | set(Wheel.objects.filter(sha256__in=digests).values_list("sha256", flat=True))
