"""Jobs, workers and schedules in the admin: looked at, cancelled, asked for again, paused."""

from __future__ import annotations

from typing import Any

import django_celery_beat.admin  # noqa: F401 - it registers its own first, to edit; a schedule's row follows from the code
from django.contrib import admin
from django.db import transaction
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks, SolarSchedule
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from condahub.accounts.policy import HUB, AccessTarget, Actor, Permission, require
from condahub.adminsite.base import LookInline, LookOnly
from condahub.adminsite.confirming import Verb
from condahub.audit.services import record
from condahub.errors import Conflict
from condahub.jobs import services
from condahub.jobs.models import Job, JobLog, WorkerBeat
from condahub.jobs.states import JobState

for _model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


def _require(actor: Actor, job: Job) -> None:
    require(actor, Permission.JOB_CANCEL, HUB if job.organization_id is None else AccessTarget(organization_id=job.organization_id))


def _cancel(actor: Actor, job: Job, values: dict[str, Any]) -> None:
    _require(actor, job)
    with transaction.atomic():
        services.cancel(actor, job)
        record(actor=actor, action="job.cancel", target=str(job.pk), organization_id=job.organization_id, details={"kind": job.kind})


def _requeue(actor: Actor, job: Job, values: dict[str, Any]) -> None:
    """The same work as a new job: what came of the old one stays to be read."""
    _require(actor, job)
    if job.state not in (JobState.FAILED, JobState.CANCELLED):
        raise Conflict("Only a job that failed or was cancelled is asked for again.", code="wrong_state", hint=f"It is {job.state}.")
    try:
        with transaction.atomic():
            again = services.enqueue(
                kind=job.kind,
                payload=job.payload,
                lane=job.lane,
                coalesce_key=job.coalesce_key,
                organization_id=job.organization_id,
                actor_label=actor.label,
            )
            details = {"kind": job.kind, "job": again.pk}
            record(actor=actor, action="job.requeue", target=str(job.pk), organization_id=job.organization_id, details=details)
    except LookupError:
        raise Conflict(f"This release knows no jobs of the kind '{job.kind}'.", code="unknown_kind", hint="It can't run again.") from None


class LogInline(LookInline):
    model = JobLog
    fields = ("at", "level", "text")
    readonly_fields = ("at", "level", "text")


@admin.register(Job)
class JobAdmin(LookOnly):
    list_display = (
        *("id", "kind", "lane", "state", "organization", "actor_label", "attempts"),
        *("phase", "done", "total", "error_code", "created_at", "finished_at", "links"),
    )
    list_filter = ("state", "lane", ("organization", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("organization",)
    search_fields = ("=id", "kind", "=coalesce_key", "actor_label", "error_code")
    date_hierarchy = "created_at"
    inlines = (LogInline,)
    verbs = (
        Verb("cancel", "Cancel", "Those that wait end at once; those that run are asked to stop.", _cancel, dangerous=True),
        Verb("requeue", "Ask for again", "A new job with the same work, for those that failed or were cancelled.", _requeue),
    )

    def portal_path(self, obj: Job) -> str:
        return f"/ui/jobs/{obj.pk}"

    def audit_query(self, obj: Job) -> dict[str, Any]:
        return {"target_type__exact": "job", "target": obj.pk}


@admin.register(WorkerBeat)
class WorkerBeatAdmin(LookOnly):
    list_display = ("worker", "lane", "hostname", "pid", "busy", "slots", "version", "started_at", "seen_at")
    list_filter = ("lane",)
    search_fields = ("worker", "hostname")


def _set_enabled(actor: Actor, task: PeriodicTask, *, enabled: bool) -> None:
    require(actor, Permission.HUB_OPERATE, HUB)
    if task.enabled == enabled:
        return
    with transaction.atomic():
        PeriodicTask.objects.filter(pk=task.pk).update(enabled=enabled)
        # Beat looks here for whether anything changed.
        PeriodicTasks.update_changed()
        record(actor=actor, action="schedule.resume" if enabled else "schedule.pause", target=task.name)


@admin.register(PeriodicTask)
class ScheduleAdmin(LookOnly):
    list_display = ("name", "enabled", "interval", "crontab", "last_run_at", "total_run_count", "links")
    list_filter = ("enabled",)
    list_select_related = ("interval", "crontab")
    search_fields = ("name",)
    fields = ("name", "enabled", "interval", "crontab", "last_run_at", "total_run_count", "date_changed")
    verbs = (
        Verb(
            "pause",
            "Pause",
            "Beat does not ask for this work until it is resumed. Pausing housekeeping lets things pile up.",
            lambda actor, task, values: _set_enabled(actor, task, enabled=False),
            dangerous=True,
        ),
        Verb("resume", "Resume", "Beat asks for this work again.", lambda actor, task, values: _set_enabled(actor, task, enabled=True)),
    )

    def portal_path(self, obj: Any) -> str:
        return ""

    def audit_query(self, obj: Any) -> dict[str, Any]:
        return {"target_type__exact": "schedule", "target": obj.name}

    def jobs_query(self, obj: Any) -> dict[str, Any]:
        return {"coalesce_key": f"schedule:{obj.name.removeprefix('hub: ')}"}
