"""How often a file was downloaded, a row a file and day."""

from __future__ import annotations

from django.db import models

from channels_app.models.files import PackageFile


class DownloadCount(models.Model):
    file = models.ForeignKey(PackageFile, on_delete=models.CASCADE, related_name="download_counts", db_index=False)
    day = models.DateField()
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["file", "day"], name="downloads_unique"),)
        indexes = (models.Index(fields=["day"]),)

    def __str__(self) -> str:
        return f"{self.count} on {self.day}"
