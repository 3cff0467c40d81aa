"""Upstream revisions: each index as it came, and which one a subdir was last brought to."""

from __future__ import annotations

from django.db import models

from mirrors_app.models.mirror import Mirror


class UpstreamRevision(models.Model):
    """One index of the upstream, as it came. Immutable; its bytes lie in the store's namespace "upstream" until newer ones push them out.

    digest: sha256 of the index, hex; stored: sha256 of the zstd frame that holds it, "" when it is not kept any more;
    kind: shards, zst, json, bz2, lock, missing; count: its records, or names where it is sharded.
    """

    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, related_name="revisions", db_index=False)
    subdir = models.CharField(max_length=64)
    run = models.ForeignKey("mirrors.SyncRun", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    kind = models.CharField(max_length=8)
    url = models.CharField(max_length=2000, blank=True)
    etag = models.CharField(max_length=500, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    count = models.PositiveIntegerField(default=0)
    stored = models.CharField(max_length=64, blank=True, db_index=True)
    size = models.PositiveBigIntegerField(default=0)
    seen_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = (models.Index(fields=["mirror", "subdir", "-id"], name="upstream_revisions"),)

    def __str__(self) -> str:
        return f"{self.subdir} {self.digest[:12]}"


class MirrorSubdir(models.Model):
    """To which revision of the upstream a subdir was last brought: `core.target.SubdirState` in msgpack.

    base_url: the folder of the packages that their records do not place themselves, absolute; "" where that is not known.
    """

    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, related_name="states", db_index=False)
    subdir = models.CharField(max_length=64)
    state = models.BinaryField()
    revision = models.ForeignKey(UpstreamRevision, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    records = models.PositiveIntegerField(default=0)
    base_url = models.CharField(max_length=2000, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("mirror_id", "subdir")
        constraints = (models.UniqueConstraint(fields=["mirror", "subdir"], name="mirror_subdir_unique"),)

    def __str__(self) -> str:
        return self.subdir
