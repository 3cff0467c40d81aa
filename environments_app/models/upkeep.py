"""What the hub keeps up by itself: when an environment is looked at again, and the files whose specifications it follows."""

from __future__ import annotations

from django.db import models

from environments_app.models.build import Build
from environments_app.models.environment import Environment


class Rebuild(models.TextChoices):
    """What makes the hub look whether an environment would come out newer."""

    NEVER = "never"
    CRON = "cron"
    WHEN_NEWER = "when_newer"


class Outcome(models.TextChoices):
    """What came of the last look."""

    NONE = ""
    NOTHING_NEWER = "nothing_newer"
    BUILT = "built"
    CONFLICT = "conflict"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    CHOSEN = "chosen_by_hand"
    LOCKED = "lock_file"


class EnvironmentSchedule(models.Model):
    """When an environment is looked at next, as its settings have it, and what came of the last look.

    heads: {channel id: revision} that the last look saw. solved_at: the last look that took a solve.
    stopped_at_build: the build of which a channel was withdrawn; nothing is looked at until another is current.
    """

    environment = models.OneToOneField(Environment, on_delete=models.CASCADE, related_name="schedule")
    mode = models.CharField(max_length=10, choices=Rebuild, default=Rebuild.NEVER)
    cron = models.CharField(max_length=100, blank=True, default="")
    time_zone = models.CharField(max_length=64, default="UTC")
    next_run_at = models.DateTimeField(null=True, blank=True, db_index=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    solved_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=14, choices=Outcome, blank=True, default=Outcome.NONE)
    said = models.CharField(max_length=500, blank=True, default="")
    heads = models.JSONField(default=dict)
    stopped_at_build = models.ForeignKey(Build, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    def __str__(self) -> str:
        return f"schedule of {self.environment}"


class WatchedFile(models.Model):
    """A file whose specification the hub follows.

    folder: the entry of CONDAHUB_WATCH that it was found by; folder_identity: device and inode of that, so that one that is
    not mounted is not taken for an empty one. sha256: of the bytes that were acted on last.
    """

    folder = models.CharField(max_length=500, db_index=True)
    folder_identity = models.CharField(max_length=60, blank=True, default="")
    path = models.CharField(max_length=800, unique=True)
    sha256 = models.CharField(max_length=64, blank=True, default="")
    environment = models.ForeignKey(Environment, null=True, blank=True, on_delete=models.SET_NULL, related_name="watched_files")
    problem = models.CharField(max_length=2000, blank=True, default="")
    tried_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("path",)

    def __str__(self) -> str:
        return self.path
