"""Work that comes back by the clock: kept in code, mirrored into django-celery-beat's tables where staff may pause it.

A schedule does one thing: it enqueues a job of its kind, of which never more than one waits. Reaping needs no schedule:
every lane does it each time it looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from condahub.celery import app
from condahub.jobs import services

ENQUEUE_TASK = "condahub.jobs.enqueue_scheduled"
NAME_PREFIX = "hub: "


@dataclass(frozen=True, slots=True)
class Schedule:
    """Either every so many seconds, or at a crontab of five fields in UTC ("minute hour day month weekday")."""

    name: str
    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    every_seconds: int | None = None
    crontab: str = ""

    def __post_init__(self) -> None:
        if (self.every_seconds is None) == (not self.crontab):
            raise ValueError(f"The schedule '{self.name}' needs either every_seconds or crontab.")
        if self.crontab and len(self.crontab.split()) != 5:
            raise ValueError(f"The schedule '{self.name}' needs five crontab fields.")


_schedules: dict[str, Schedule] = {}


def register(
    name: str, kind: str, payload: Mapping[str, Any] | None = None, *, every_seconds: int | None = None, crontab: str = ""
) -> None:
    """Keep a schedule, from an app's `tasks` module. It acts after `ensure_schedules`, which runs at the hub's start."""
    schedule = Schedule(name, kind, payload or {}, every_seconds, crontab)
    if _schedules.setdefault(name, schedule) != schedule:
        raise ValueError(f"The schedule '{name}' is registered twice.")


def enqueue_scheduled(name: str) -> None:
    """Enqueue the job of that schedule; one that an older release knew and this one does not is let pass."""
    schedule = _schedules.get(name)
    if schedule is not None:
        services.enqueue(kind=schedule.kind, payload=schedule.payload, coalesce_key=f"schedule:{name}", actor_label="schedule")


@app.task(name=ENQUEUE_TASK, ignore_result=True)
def enqueue_scheduled_task(name: str) -> None:
    """For an operator's own beat with another scheduler; the hub's beat enqueues without a message."""
    enqueue_scheduled(name)


def ensure_schedules() -> int:
    """Make the tables say what the code says; writes only what differs, and leaves a pause set by staff. Returns how many writes."""
    from django_celery_beat.models import PeriodicTask

    known = {task.name: task for task in PeriodicTask.objects.filter(name__startswith=NAME_PREFIX)}
    writes = 0
    for schedule in _schedules.values():
        wanted = _row(schedule)
        task = known.pop(f"{NAME_PREFIX}{schedule.name}", None)
        if task is None:
            PeriodicTask.objects.create(name=f"{NAME_PREFIX}{schedule.name}", **wanted)
        elif any(getattr(task, name) != value for name, value in wanted.items()):
            for name, value in wanted.items():
                setattr(task, name, value)
            task.save()
        else:
            continue
        writes += 1
    for task in known.values():
        task.delete()
        writes += 1
    return writes


def _row(schedule: Schedule) -> dict[str, Any]:
    import json

    from django_celery_beat.models import CrontabSchedule, IntervalSchedule

    interval = crontab = None
    if schedule.every_seconds is not None:
        interval, _ = IntervalSchedule.objects.get_or_create(every=schedule.every_seconds, period=IntervalSchedule.SECONDS)
    else:
        names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        crontab, _ = CrontabSchedule.objects.get_or_create(**dict(zip(names, schedule.crontab.split(), strict=True)), timezone="UTC")
    return {"task": ENQUEUE_TASK, "args": json.dumps([schedule.name]), "queue": "quick", "interval": interval, "crontab": crontab}
