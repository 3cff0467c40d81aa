"""What lazy mirrors keep of single packages: who fetches one just now or why nobody could, and where those lie that are elsewhere."""

from __future__ import annotations

from django.db import models

from channels_app.models import PackageFile


class Demand(models.Model):
    """A package that somebody asked for and whose bytes are not here: one row while it is fetched, or for a while after that failed.

    holder: of the lease, a random text; "" when it failed. part: the temporary file that the bytes come into, for others on the same
    disk. until: the lease's end, or the time before which the upstream is not asked again; status, code, detail, hint: of the failure.
    """

    file = models.OneToOneField(PackageFile, on_delete=models.CASCADE, related_name="demand")
    holder = models.CharField(max_length=64, blank=True)
    part = models.CharField(max_length=200, blank=True)
    until = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(default=0)
    code = models.CharField(max_length=64, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    hint = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.file_id} {self.code or 'fetching'}"


class Location(models.Model):
    """Where a package's own record says that it lies, when that is not beside the index. url: absolute."""

    file = models.OneToOneField(PackageFile, on_delete=models.CASCADE, related_name="location")
    url = models.CharField(max_length=2000)

    def __str__(self) -> str:
        return self.url
