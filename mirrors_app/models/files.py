"""What a mirror knows of each file that it brought, and of those that it could not bring."""

from __future__ import annotations

from django.db import models

from channels_app.models import PackageFile
from mirrors_app.models.mirror import Mirror


class MirroredFile(models.Model):
    """One file that a mirror keeps: as narrow as comparing a large index asks for.

    spelling: digest of the record as the upstream wrote it; digest: of the record without location; 16 bytes each. role: see Role.
    file: nothing once its row ended in the channel, which does not bring it back.
    """

    class Role(models.TextChoices):
        SHOWN = "shown"
        LEFT = "left"  # shown, though the upstream has it no more
        STAGED = "staged"  # fetched and verified, waits for the revision that shows it
        ASIDE = "aside"  # bytes of a name that shows others

    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, related_name="files", db_index=False)
    file = models.OneToOneField(PackageFile, null=True, blank=True, on_delete=models.SET_NULL, related_name="mirrored")
    subdir = models.CharField(max_length=64)
    filename = models.CharField(max_length=211)
    name = models.CharField(max_length=128)
    sha256 = models.CharField(max_length=64)
    md5 = models.CharField(max_length=32, blank=True)
    size = models.BigIntegerField()
    spelling = models.BinaryField(max_length=16)
    digest = models.BinaryField(max_length=16)
    role = models.CharField(max_length=6, choices=Role)

    class Meta:
        indexes = (
            models.Index(fields=["mirror", "subdir", "name"], name="mirrored_by_name"),
            models.Index(fields=["mirror"], condition=models.Q(role__in=["staged", "aside"]), name="mirrored_unshown"),
        )

    def __str__(self) -> str:
        return f"{self.subdir}/{self.filename}"


class MirrorRefusal(models.Model):
    """A package that the last run could not bring, and why; bounded (services.runs)."""

    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, related_name="refusals", db_index=False)
    subdir = models.CharField(max_length=64)
    filename = models.CharField(max_length=255)
    reason = models.CharField(max_length=500)
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("subdir", "filename")
        constraints = (models.UniqueConstraint(fields=["mirror", "subdir", "filename"], name="refusal_unique"),)

    def __str__(self) -> str:
        return f"{self.subdir}/{self.filename}"
