"""What the upstream says attests a mirrored package (CEP-50), until it is here."""

from __future__ import annotations

from django.db import models

from channels_app.models import PackageFile
from mirrors_app.models.mirror import Mirror


class WantedSidecar(models.Model):
    """A sidecar to be brought; the row goes when it is here. url: absolute; sha256: hex, "" where the index names none.

    asked_at: when it was last asked for in vain; reason: why it may not be had, "" where the upstream has none.
    """

    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, related_name="wanted_sidecars")
    file = models.OneToOneField(PackageFile, on_delete=models.CASCADE, related_name="+")
    url = models.CharField(max_length=2000)
    sha256 = models.CharField(max_length=64, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return self.url
