"""Runs of a mirror and how each ended."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from condahub.accounts.policy import AccessTarget
from condahub.jobs.models import Job
from mirrors_app.models.mirror import Mirror

# Kinds of the jobs that sync a mirror, take a proxy's index, find out what a run would do.
SYNC_KIND = "mirrors.sync"
REFRESH_KIND = "mirrors.refresh"
PLAN_KIND = "mirrors.plan"


class RunState(models.TextChoices):
    """running, then one of: ok, partial (all but what the report names), held (waits for approval), failed, cancelled."""

    RUNNING = "running"
    OK = "ok"
    PARTIAL = "partial"
    HELD = "held"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED_STATES = (RunState.OK, RunState.PARTIAL, RunState.HELD, RunState.FAILED, RunState.CANCELLED)


class RunTrigger(models.TextChoices):
    PERSON = "person"
    SCHEDULE = "schedule"
    APPROVAL = "approval"


class SyncRun(models.Model):
    """One run. report: `RunReport.as_dict()` with at most SHOWN_ITEMS of each list; report_stored: the whole in the store's namespace
    "upstream", zstd JSON, "" when the bounded one is all there is; held: [{subdir, verdict, reason, approval}];
    revision: the channel's head when it ended; bytes: of packages; received_bytes: of everything.
    """

    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, related_name="runs", db_index=False)
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    state = models.CharField(max_length=9, choices=RunState, default=RunState.RUNNING)
    trigger = models.CharField(max_length=8, choices=RunTrigger, default=RunTrigger.PERSON)
    requested_by = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    added = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    removed = models.PositiveIntegerField(default=0)
    kept_though_gone = models.PositiveIntegerField(default=0)
    replaced = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    files = models.PositiveIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    received_bytes = models.PositiveBigIntegerField(default=0)
    revision = models.BigIntegerField(null=True, blank=True)
    reason = models.CharField(max_length=2000, blank=True)
    hint = models.CharField(max_length=2000, blank=True)
    report = models.JSONField(default=dict, blank=True)
    report_stored = models.CharField(max_length=64, blank=True, db_index=True)
    held = models.JSONField(default=list, blank=True)
    approved_by = models.CharField(max_length=200, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar[tuple[models.BaseConstraint, ...]] = (
            models.UniqueConstraint(fields=["mirror"], condition=Q(state="running"), name="run_one_at_a_time"),
        )
        indexes = (models.Index(fields=["mirror", "-id"], name="runs_of_mirror"),)

    def __str__(self) -> str:
        return f"#{self.pk} {self.state}"

    @property
    def access_target(self) -> AccessTarget:
        return self.mirror.access_target
