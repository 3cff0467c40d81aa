"""The index of a channel: shards, revisions, and the files that are made of them."""

from __future__ import annotations

from typing import TypedDict

from django.db import models

from channels_app.models.channel import Channel


class Shard(models.Model):
    """All records of one package name in one subdir at one moment (CEP-16), in the two forms that clients are given.

    payload: the shard's bytes (msgpack, zstd), whose sha256 is its address. fragment: the same records as pieces of
    repodata.json (see channels_app.index.render). Immutable; belongs to one channel, so that a hash is no key to another's.
    """

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+", db_index=False)
    subdir = models.CharField(max_length=64)
    name = models.CharField(max_length=128)
    sha256 = models.BinaryField(max_length=32)
    payload = models.BinaryField()
    fragment = models.BinaryField()
    records = models.PositiveIntegerField()
    json_bytes = models.PositiveBigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["channel", "subdir", "sha256"], name="shard_unique"),)

    def __str__(self) -> str:
        return f"{self.subdir}/{self.name} {bytes(self.sha256).hex()[:12]}"


class DirtyName(models.Model):
    """A package name whose shard no longer matches its files; deleted in the transaction that publishes the new one.

    serial grows with every change, so that a shard rendered ahead of the transaction is known to be still right.
    waits: part of a large change that is published as a whole when it is complete; another change of the name ends the waiting.
    """

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+", db_index=False)
    subdir = models.CharField(max_length=64)
    name = models.CharField(max_length=128)
    serial = models.PositiveIntegerField(default=1)
    cause = models.CharField(max_length=200, blank=True)
    marked_at = models.DateTimeField(auto_now_add=True)
    waits = models.BooleanField(default=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["channel", "subdir", "name"], name="dirty_unique"),)

    def __str__(self) -> str:
        return f"{self.subdir}/{self.name}"


class SubdirState(TypedDict):
    """What a revision says of one subdir. revision, changed_at: the last one that changed it, and when (ISO 8601, UTC)."""

    revision: int
    changed_at: str
    names: int
    records: int
    bytes: int


class Revision(models.Model):
    """The immutable state of a channel's index, all subdirs, at one moment.

    delta: msgpack+zstd of {subdir: {name: shard sha256 or None}} against the revision before; checkpoint: the same as a full
    map, now and then. subdirs: {subdir: SubdirState}.
    """

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="revisions", db_index=False)
    number = models.BigIntegerField()
    created_at = models.DateTimeField()
    cause = models.CharField(max_length=200, blank=True)
    renderer = models.PositiveSmallIntegerField()
    codec = models.CharField(max_length=32)
    delta = models.BinaryField()
    checkpoint = models.BinaryField(null=True)
    subdirs = models.JSONField(default=dict)
    pinned = models.BooleanField(default=False)
    tag = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ("channel", "-number")
        constraints = (models.UniqueConstraint(fields=["channel", "number"], name="revision_unique"),)
        indexes = (models.Index(fields=["channel", "created_at"]),)

    def __str__(self) -> str:
        return f"revision {self.number}"


class IndexFile(models.Model):
    """A stored file of the index, too large to be made while answering: what it holds, and where its bytes lie.

    revision: the one its content belongs to. content_sha256 and content_size: of the uncompressed file; sha256 and size: of the
    stored bytes, which lie in the store's namespace "index".
    """

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+", db_index=False)
    subdir = models.CharField(max_length=64, blank=True)
    kind = models.CharField(max_length=32)
    revision = models.BigIntegerField()
    content_sha256 = models.CharField(max_length=64)
    content_size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["channel", "subdir", "kind", "revision"], name="index_file_unique"),)

    def __str__(self) -> str:
        return f"{self.subdir}/{self.kind} of revision {self.revision}"
