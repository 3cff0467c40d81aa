"""What the processes of a hub without Redis remember together for a while: failed sign-ins, codes that were used, guessed names."""

from __future__ import annotations

from django.db import models


class Remembered(models.Model):
    """A row of Django's cache in the database: its columns are those of `createcachetable`, and `condahub.cache.SharedCache` keeps it."""

    cache_key = models.CharField(max_length=255, primary_key=True)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "hub_remembered"

    def __str__(self) -> str:
        return f"until {self.expires:%Y-%m-%d %H:%M:%S}"
