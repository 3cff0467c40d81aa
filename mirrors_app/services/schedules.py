"""When a mirror runs by itself: cron in a time zone, and what is due now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.utils import timezone

from condahub.errors import Unprocessable
from condahub.jobs import clock
from mirrors_app.core.errors import BadConfiguration
from mirrors_app.models import Mirror, MirrorMode, RunTrigger
from mirrors_app.services import runs


def check_schedule(schedule: str, time_zone: str) -> None:
    """Raises BadConfiguration for what is no cron expression of five fields, never comes, or no zone."""
    with _as_configuration():
        clock.zone(time_zone)
    if schedule:
        next_time(schedule, time_zone, after=timezone.now())


def next_time(schedule: str, time_zone: str, *, after: datetime) -> datetime | None:
    """The first time after `after`, in UTC; None for no schedule. Raises BadConfiguration."""
    if not schedule:
        return None
    with _as_configuration():
        return clock.next_time(schedule, time_zone, after=after)


def plan_next(mirror: Mirror, *, now: datetime | None = None) -> datetime | None:
    """When it runs next by itself; None by hand only, when paused, and for lazy mirrors. To be saved by the caller."""
    if mirror.paused or mirror.mode == MirrorMode.LAZY:
        return None
    return next_time(mirror.schedule, mirror.time_zone, after=now or timezone.now())


def enqueue_due() -> list[int]:
    """Enqueue every mirror whose time has come, once however late it is; their ids."""
    now = timezone.now()
    found: list[int] = []
    for mirror in Mirror.objects.existing().filter(next_run_at__lte=now, paused=False).select_related("channel__organization"):
        # Who moves the time is who enqueues, if two look at once.
        if Mirror.objects.filter(pk=mirror.pk, next_run_at=mirror.next_run_at).update(next_run_at=plan_next(mirror, now=now)):
            runs.enqueue_sync(mirror, trigger=RunTrigger.SCHEDULE, actor_label="schedule")
            found.append(mirror.pk)
    return found


@contextmanager
def _as_configuration() -> Iterator[None]:
    """What the clock refuses is a mirror's wrong setting."""
    try:
        yield
    except Unprocessable as error:
        raise BadConfiguration(error.detail, hint=error.hint) from None
