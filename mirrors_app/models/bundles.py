"""Bundles that this hub made and took, the keys that signed them, and how far each channel was brought by them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from channels_app.models import Channel
from condahub.accounts.policy import AccessTarget


class SigningKey(models.Model):
    """A key of this hub's own. sealed: the private key's PEM, `condahub.vault`, purpose bundle-key; rotation: the statement by which
    the key before hands over to this one, {} for the first."""

    name = models.CharField(max_length=100, unique=True)
    public = models.CharField(max_length=64, unique=True)
    sealed = models.TextField(editable=False)
    rotation = models.JSONField(default=dict, editable=False)
    follows = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=200)
    signs = models.BooleanField(default=True, help_text="The one key that signs new bundles.")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=["signs"], condition=Q(signs=True), name="signing_key_one_signs"),)

    def __str__(self) -> str:
        return self.name


class TrustedKey(models.Model):
    """A public key (32 bytes, hex) whose bundles this hub was told to take."""

    name = models.CharField(max_length=100)
    public = models.CharField(max_length=64, unique=True)
    follows = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    added_at = models.DateTimeField(auto_now_add=True)
    added_by = models.CharField(max_length=200)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.name


class BundleStream(models.Model):
    """The line of bundles that one channel or environment is carried in. uid: its random name; last_sequence: of the newest bundle.

    subject: the environment as `<organization>/<name>`, empty for the channel itself.
    """

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+", db_index=False)
    subject = models.CharField(max_length=200, blank=True)
    uid = models.CharField(max_length=32, unique=True)
    last_sequence = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["channel", "subject"], name="bundle_stream_once"),)

    def __str__(self) -> str:
        return self.uid


class ExportState(models.TextChoices):
    WAITING = "waiting"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    DELETED = "deleted"


class BundleExport(models.Model):
    """One bundle that this hub makes of a channel. Made and moved by `mirrors_app.bundles.exporting` only.

    revision, state_digest: what it brings; base_revision, base_digest: what it stands on, 0 and "" for all of it; previous: sha256 of
    the manifest that brought the base; include: what rides along; planned: the sha256 of the plan in the store's namespace "bundles",
    so that a run which was killed goes on with the very same parts; manifest_sha256: its bytes, in the same place; sources: ids of the
    channels whose packages it carries, none for its own channel alone.
    """

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="bundle_exports", db_index=False)
    stream = models.ForeignKey(BundleStream, on_delete=models.CASCADE, related_name="exports")
    sequence = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=ExportState, default=ExportState.WAITING)
    revision = models.BigIntegerField()
    state_digest = models.CharField(max_length=64, blank=True)
    base_revision = models.BigIntegerField(default=0)
    base_digest = models.CharField(max_length=64, blank=True)
    previous = models.CharField(max_length=64, blank=True)
    environment = models.CharField(max_length=200, blank=True)
    include = models.JSONField(default=list)
    sources = models.JSONField(default=list)
    part_bytes = models.BigIntegerField()
    planned = models.CharField(max_length=64, blank=True)
    left_out = models.JSONField(default=list)
    counts = models.JSONField(default=dict)
    manifest_sha256 = models.CharField(max_length=64, blank=True)
    manifest_size = models.BigIntegerField(default=0)
    signature = models.CharField(max_length=128, blank=True)
    key = models.ForeignKey(SigningKey, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    size = models.BigIntegerField(default=0)
    job_id = models.BigIntegerField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_sentence = models.CharField(max_length=2000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=200)
    ready_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=["stream", "sequence"], name="bundle_export_sequence"),)
        indexes = (models.Index(fields=["channel", "-id"], name="bundle_exports_of_channel"),)

    def __str__(self) -> str:
        return f"bundle {self.sequence} of {self.channel_id}"

    @property
    def access_target(self) -> AccessTarget:
        return self.channel.target()


class BundlePart(models.Model):
    """A part that is whole and durable, in the store's namespace "bundles". members: the manifest's word on them, as msgpack+zstd."""

    export = models.ForeignKey(BundleExport, on_delete=models.CASCADE, related_name="parts", db_index=False)
    number = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64, db_index=True)
    size = models.BigIntegerField()
    members = models.BinaryField()

    class Meta:
        ordering = ("export_id", "number")
        constraints = (models.UniqueConstraint(fields=["export", "number"], name="bundle_part_once"),)

    def __str__(self) -> str:
        return f"part {self.number} of {self.export_id}"


class ImportState(models.TextChoices):
    """receiving, ready, running, then one of: done, unchanged (it was here already), refused, failed, cancelled."""

    RECEIVING = "receiving"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED_IMPORTS = (ImportState.DONE, ImportState.UNCHANGED, ImportState.REFUSED, ImportState.FAILED, ImportState.CANCELLED)


class BundleImport(models.Model):
    """One bundle that somebody brings to a channel. folder: where it lies on this machine, empty where it is uploaded.

    manifest_sha256, signature: as they came; signer: the public key; result: counts of what was done, and what waits for a decision
    (`policies`); revision: the channel's own number that shows it; touched_at: when a file of it last came.
    """

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="bundle_imports", db_index=False)
    state = models.CharField(max_length=9, choices=ImportState, default=ImportState.RECEIVING)
    folder = models.CharField(max_length=1000, blank=True)
    options = models.JSONField(default=dict)
    signature = models.CharField(max_length=128, blank=True)
    manifest_sha256 = models.CharField(max_length=64, blank=True)
    signer = models.CharField(max_length=64, blank=True)
    stream = models.CharField(max_length=32, blank=True)
    sequence = models.PositiveIntegerField(default=0)
    source_name = models.CharField(max_length=200, blank=True)
    source_revision = models.BigIntegerField(default=0)
    size = models.BigIntegerField(default=0)
    result = models.JSONField(default=dict)
    revision = models.BigIntegerField(null=True, blank=True)
    job_id = models.BigIntegerField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_sentence = models.CharField(max_length=2000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=200)
    ended_at = models.DateTimeField(null=True, blank=True)
    touched_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=["channel", "-id"], name="bundle_imports_of_channel"),)

    def __str__(self) -> str:
        return f"import {self.pk} into {self.channel_id}"

    @property
    def access_target(self) -> AccessTarget:
        return self.channel.target()


class BundlePiece(models.Model):
    """A file of an import that was uploaded: a part, or the manifest; in the store's namespace "bundles"."""

    taken_by = models.ForeignKey(BundleImport, on_delete=models.CASCADE, related_name="pieces", db_index=False)
    name = models.CharField(max_length=20)
    sha256 = models.CharField(max_length=64, db_index=True)
    size = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["taken_by", "name"], name="bundle_piece_once"),)

    def __str__(self) -> str:
        return self.name


class BundleVerified(models.Model):
    """A package of an import that was read, checked and stored, and waits for the revision that shows it; gone once it is shown."""

    taken_by = models.ForeignKey(BundleImport, on_delete=models.CASCADE, related_name="verified", db_index=False)
    path = models.CharField(max_length=400)
    sha256 = models.CharField(max_length=64)
    md5 = models.CharField(max_length=32)
    size = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["taken_by", "path"], name="bundle_verified_once"),)

    def __str__(self) -> str:
        return self.path


class BundleHead(models.Model):
    """How far a channel was brought by bundles: the stream it follows, and the state of it that it shows."""

    channel = models.OneToOneField(Channel, on_delete=models.CASCADE, related_name="bundle_head")
    stream = models.CharField(max_length=32)
    source_name = models.CharField(max_length=200)
    sequence = models.PositiveIntegerField()
    revision = models.BigIntegerField()
    state_digest = models.CharField(max_length=64)
    manifest_sha256 = models.CharField(max_length=64)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.source_name} at {self.revision}"
