"""A machine that builds environments, and whether it can hold the code of packages in a sandbox."""

from __future__ import annotations

from django.db import models


class Builder(models.Model):
    """As it last said. problem, hint: why it can't, and what to do about that; empty where it can."""

    hostname = models.CharField(max_length=200, unique=True)
    problem = models.CharField(max_length=1000, blank=True, default="")
    hint = models.CharField(max_length=1000, blank=True, default="")
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ("hostname",)

    def __str__(self) -> str:
        return self.hostname
