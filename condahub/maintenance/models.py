"""What everybody is told on every page, and whether the hub may be changed."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

MAX_TEXT_CHARS = 500
THE_ONE = 1


class Level(models.TextChoices):
    INFO = "info", "Information"
    WARNING = "warning", "Warning"


class SiteNotice(models.Model):
    """One row. Changed by `condahub.maintenance.services` only."""

    text = models.CharField(max_length=MAX_TEXT_CHARS, blank=True, default="")
    level = models.CharField(max_length=7, choices=Level, default=Level.INFO)
    read_only = models.BooleanField(default=False)
    changed_at = models.DateTimeField(auto_now=True)
    changed_by = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(pk=THE_ONE), name="notice_only_one"),
        ]

    def __str__(self) -> str:
        return self.text or "no notice"
