"""The admin's page of what happens by the clock: the hub's own schedules and those that the apps tell of, with their next runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from condahub.adminsite import registry
from condahub.adminsite.base import object_link
from condahub.adminsite.pages import shown
from condahub.adminsite.registry import Planned
from condahub.jobs.models import Job
from condahub.jobs.schedules import NAME_PREFIX


@dataclass(frozen=True)
class Row:
    name: str
    when: str
    next_run: datetime | None
    last_run: datetime | None
    is_paused: bool
    link: Any


def next_run_of(task: Any, last: datetime | None, now: datetime) -> datetime | None:
    """When beat runs it next, as far as its clock says; None while it is paused."""
    if not task.enabled or task.schedule is None:
        return None
    since = last or task.date_changed or now
    left: timedelta = task.schedule.remaining_estimate(since)
    return now + max(left, timedelta(0))


def own_schedules() -> list[Row]:
    """The hub's own, the soonest first. Two queries."""
    from django_celery_beat.models import PeriodicTask

    tasks = list(PeriodicTask.objects.select_related("interval", "crontab", "solar", "clocked").order_by("name"))
    now = timezone.now()
    keys = {f"schedule:{task.name.removeprefix(NAME_PREFIX)}": task.pk for task in tasks}
    asked: dict[int, datetime] = {}
    for key, at in Job.objects.filter(coalesce_key__in=keys).order_by("pk").values_list("coalesce_key", "created_at"):
        asked[keys[key]] = at
    rows = []
    for task in tasks:
        # Beat writes down its last run every few minutes; the job that it asked for says it at once.
        last = max((moment for moment in (task.last_run_at, asked.get(task.pk)) if moment is not None), default=None)
        when = str(task.interval or task.crontab or task.solar or task.clocked or "")
        rows.append(Row(task.name.removeprefix(NAME_PREFIX), when, next_run_of(task, last, now), last, not task.enabled, object_link(task)))
    return sorted(rows, key=lambda row: (row.next_run is None, row.next_run or now))


def page(request: HttpRequest) -> HttpResponse:
    planned: list[Planned] = registry.planned()
    return shown(request, "admin/schedules.html", "Schedules", rows=own_schedules(), planned=planned, now=timezone.now())
