"""Package files of a channel, their bytes, and what is said of a package as a whole."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import models
from django.db.models import Q

from channels_app.models.channel import Channel


class Blob(models.Model):
    """Bytes in the content-addressed store, whoever holds them."""

    sha256 = models.CharField(max_length=64, unique=True)
    md5 = models.CharField(max_length=32)
    size = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.sha256[:12]


class FileState(models.TextChoices):
    LIVE = "live"
    YANKED = "yanked"  # out of the index, still downloadable by URL
    HELD = "held"  # not shown until released
    DELETED = "deleted"  # gone from the current revision, in past ones still
    PURGED = "purged"  # bytes gone from all revisions
    ASIDE = "aside"  # kept and shown nowhere: it waits for its revision, or other bytes have its name


# States in which a file occupies its filename.
OCCUPYING_STATES = (FileState.LIVE, FileState.YANKED, FileState.HELD)
# States whose bytes the hub keeps, and which so count against quotas.
STORED_STATES = (FileState.LIVE, FileState.YANKED, FileState.HELD, FileState.DELETED, FileState.ASIDE)


def _either(column: str, values: Iterable[str]) -> Q:
    """The column is one of these, said with OR: so SQLite sees that a question for one of them is within the condition."""
    return functools.reduce(operator.or_, (Q(**{column: str(value)}) for value in values))


# The first sight of what was old when the hub came to know it: what an upstream's index held at a mirror's first run.
SEEN_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Effect(models.TextChoices):
    """What policy says of a file."""

    ALLOW = "allow"
    HOLD = "hold"  # not in the index of the head, until something changes
    DENY = "deny"  # its bytes are not given out either, in past revisions too


# Conditions of indexes of what is rare, word for word as the questions ask.
HIDDEN = _either("verdict", (Effect.HOLD, Effect.DENY))
NOT_LIVE = _either("state", [state for state in FileState if state != FileState.LIVE])


class PackageFileQuerySet(models.QuerySet["PackageFile"]):
    def shown(self) -> PackageFileQuerySet:
        """What the index shows: live, and allowed by policy."""
        return self.filter(state=FileState.LIVE, verdict=Effect.ALLOW)

    def hidden(self) -> PackageFileQuerySet:
        """Live, and held or denied by policy."""
        return self.filter(HIDDEN, state=FileState.LIVE)


class PackageFile(models.Model):
    """One .conda or .tar.bz2 in a channel and subdir, with its record as it was given (CEP-36), unknown keys and all."""

    # No index of its own, here and below: others begin with it, and offered it in the order of ids, SQLite walks the whole channel.
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="files", db_index=False)
    subdir = models.CharField(max_length=64)
    filename = models.CharField(max_length=211)
    name = models.CharField(max_length=128)
    version = models.CharField(max_length=64)
    build = models.CharField(max_length=64)
    build_number = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64)
    md5 = models.CharField(max_length=32, blank=True)
    size = models.BigIntegerField()
    blob = models.ForeignKey(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="files")
    state = models.CharField(max_length=7, choices=FileState, default=FileState.LIVE)
    reason = models.CharField(max_length=500, blank=True, help_text="Why it is yanked, held, deleted or purged.")
    # Canonical JSON texts. record: info/index.json plus md5, sha256, size, indexed_timestamp; patch: hotfixed keys.
    record = models.TextField(editable=False)
    run_exports = models.TextField(default="{}", editable=False)
    about = models.TextField(default="{}", editable=False)
    patch = models.TextField(default="", blank=True, editable=False)
    revoked = models.BooleanField(default=False)
    indexed_at = models.DateTimeField()
    # Where the hub's first sight of these bytes is not `indexed_at`: they were copied here, or seen long ago.
    first_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    # The view of policy: made of the facts above by channels_app.policies, never edited.
    verdict = models.CharField(max_length=5, choices=Effect, default=Effect.ALLOW, editable=False)
    verdict_reason = models.CharField(max_length=500, blank=True, editable=False)
    verdict_changes_at = models.DateTimeField(null=True, blank=True, editable=False)
    changed_at = models.DateTimeField(auto_now=True)
    uploaded_by = models.CharField(max_length=200, blank=True, editable=False)

    objects = PackageFileQuerySet.as_manager()

    class Meta:
        # No default ordering: it makes SQLite walk a channel's index in that order rather than look up a name.
        constraints = (
            models.UniqueConstraint(fields=["channel", "subdir", "filename", "sha256"], name="file_unique_by_content"),
            models.UniqueConstraint(
                fields=["channel", "subdir", "filename"], condition=Q(state__in=["live", "yanked", "held"]), name="file_one_of_a_name"
            ),
        )
        indexes = (
            models.Index(fields=["channel", "name", "subdir"]),
            models.Index(fields=["channel", "-indexed_at", "-id"], name="file_newest"),
            models.Index(fields=["channel", "-indexed_at", "-id"], condition=HIDDEN, name="file_hidden_newest"),
            models.Index(fields=["verdict", "-id"], condition=HIDDEN, name="file_hidden_anywhere"),
            models.Index(fields=["state", "-id"], condition=NOT_LIVE, name="file_not_live"),
            models.Index(fields=["verdict_changes_at"], condition=Q(verdict_changes_at__isnull=False), name="file_verdict_due"),
        )

    def __str__(self) -> str:
        return f"{self.subdir}/{self.filename}"

    @property
    def first_sight(self) -> datetime:
        """When the hub first saw these bytes, by its own clock."""
        return self.first_seen_at or self.indexed_at

    @property
    def is_conda(self) -> bool:
        return self.filename.endswith(".conda")


class Package(models.Model):
    """What a channel says of one package name: a view of its files, kept for lists and search."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="packages", db_index=False)
    name = models.CharField(max_length=128)
    summary = models.TextField(blank=True)
    description = models.TextField(blank=True)
    license = models.CharField(max_length=200, blank=True)
    url = models.CharField(max_length=500, blank=True)
    latest_version = models.CharField(max_length=64, blank=True)
    platforms = models.JSONField(default=list, blank=True)
    files_count = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=["channel", "name"], name="package_unique"),)
        indexes = (models.Index(fields=["name"]), models.Index(fields=["channel", "-updated_at"]))

    def __str__(self) -> str:
        return self.name


class PackageNeed(models.Model):
    """One name that the latest version of a package depends on: kept to answer what needs a package, beside its Package row."""

    # Looked up by name and by what is needed, in one channel at a time: no index of the channel's own.
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.CharField(max_length=128)
    needed = models.CharField(max_length=128)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["channel", "name", "needed"], name="need_once"),)
        indexes = (models.Index(fields=["needed", "channel", "name"], name="need_of"),)

    def __str__(self) -> str:
        return f"{self.name} needs {self.needed}"
