"""Job, its log, and the beats of the worker processes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from condahub.jobs.states import FINAL_STATES, JobState, Lane

MAX_SENTENCE_CHARS = 2000


class Job(models.Model):
    """One piece of leased work. Its state is moved by `condahub.jobs.services` only."""

    kind = models.CharField(max_length=64)
    lane = models.CharField(max_length=8, choices=Lane.choices)
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.WAITING)
    payload: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    # Same kind and same key mean the same work: at most one waits, at most one runs.
    coalesce_key = models.CharField(max_length=200, blank=True, default="")
    organization = models.ForeignKey("accounts.Organization", null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    actor_label = models.CharField(max_length=200, blank=True, default="")

    attempts = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=3)
    run_after = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    worker = models.CharField(max_length=200, blank=True, default="")
    # Increments at each claim: whoever writes with an older number has lost the lease.
    fencing = models.PositiveBigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.BooleanField(default=False)
    cancelled_by = models.CharField(max_length=200, blank=True, default="")

    phase = models.CharField(max_length=100, blank=True, default="")
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True, blank=True)
    unit = models.CharField(max_length=20, blank=True, default="")
    message = models.CharField(max_length=500, blank=True, default="")
    # Units a second in this phase.
    rate = models.FloatField(null=True, blank=True)

    result: models.JSONField[dict[str, Any] | None, dict[str, Any] | None] = models.JSONField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_sentence = models.CharField(max_length=MAX_SENTENCE_CHARS, blank=True, default="")
    error_hint = models.CharField(max_length=MAX_SENTENCE_CHARS, blank=True, default="")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["kind", "coalesce_key"],
                condition=Q(state=JobState.WAITING.value) & ~Q(coalesce_key=""),
                name="jobs_one_waiting_per_key",
            ),
            models.CheckConstraint(condition=Q(state__in=[state.value for state in JobState]), name="jobs_state_known"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["lane", "run_after", "id"], condition=Q(state=JobState.WAITING.value), name="jobs_to_claim"),
            models.Index(fields=["lease_until"], condition=Q(state=JobState.RUNNING.value), name="jobs_to_reap"),
            models.Index(fields=["kind", "coalesce_key"], condition=Q(state=JobState.RUNNING.value), name="jobs_running_key"),
            models.Index(fields=["organization", "-created_at"], name="jobs_of_organization"),
            models.Index(fields=["finished_at"], name="jobs_to_prune"),
        ]
        ordering: ClassVar[list[str]] = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES


class JobLog(models.Model):
    """A chunk of a job's log: one or more lines of one level. Appended, never rewritten."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="log")
    sequence = models.PositiveIntegerField()
    at = models.DateTimeField()
    level = models.CharField(max_length=10)
    text = models.TextField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["job", "sequence"], name="jobs_log_sequence"),
        ]
        ordering: ClassVar[list[str]] = ["job_id", "sequence"]

    def __str__(self) -> str:
        return f"#{self.job_id}/{self.sequence}"


class WorkerBeat(models.Model):
    """One running worker process, as it last spoke of itself; removed when it stops in good order."""

    worker = models.CharField(max_length=200, unique=True)
    lane = models.CharField(max_length=8, choices=Lane.choices)
    hostname = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    slots = models.PositiveIntegerField()
    busy = models.PositiveIntegerField(default=0)
    version = models.CharField(max_length=40)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["lane", "worker"]

    def __str__(self) -> str:
        return self.worker
