"""What comes back by the clock: code is the source, staff may pause, and each time makes one job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django_celery_beat.models import PeriodicTask

from condahub.celery import app
from condahub.jobs import schedules
from condahub.jobs.beat import HubScheduler
from condahub.jobs.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_schedules() -> Iterator[None]:
    kept = dict(schedules._schedules)
    yield
    schedules._schedules.clear()
    schedules._schedules.update(kept)


def names() -> set[str]:
    return set(PeriodicTask.objects.filter(name__startswith="hub: ").values_list("name", flat=True))


def test_the_tables_follow_the_code_and_a_second_start_writes_nothing() -> None:
    schedules.register("every minute", "sample.note", {}, every_seconds=60)
    assert schedules.ensure_schedules() > 0
    assert "hub: every minute" in names()
    assert schedules.ensure_schedules() == 0
    del schedules._schedules["every minute"]
    schedules.ensure_schedules()
    assert "hub: every minute" not in names()


def test_a_pause_by_staff_and_their_own_tasks_survive_a_start() -> None:
    schedules.register("every minute", "sample.note", {}, every_seconds=60)
    schedules.ensure_schedules()
    PeriodicTask.objects.filter(name="hub: every minute").update(enabled=False)
    schedules._schedules["every minute"] = schedules.Schedule("every minute", "sample.note", crontab="0 4 * * 1")
    assert schedules.ensure_schedules() == 1
    task = PeriodicTask.objects.get(name="hub: every minute")
    assert not task.enabled
    assert task.interval is None
    assert task.crontab is not None
    assert (task.crontab.hour, task.crontab.day_of_week) == ("4", "1")


@pytest.mark.parametrize("wrong", [{}, {"every_seconds": 5, "crontab": "* * * * *"}, {"crontab": "* * *"}])
def test_a_schedule_that_means_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="needs"):
        schedules.register("x", "sample.note", **wrong)  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_what_is_due_becomes_one_job_without_any_message() -> None:
    schedules.register("every minute", "sample.note", {"text": "t"}, every_seconds=60)
    schedules.ensure_schedules()
    scheduler = HubScheduler(app=app, lazy=True)
    entry = scheduler.schedule["hub: every minute"]
    scheduler.apply_async(entry)
    scheduler.apply_async(entry)
    job = Job.objects.get()
    assert (job.kind, job.payload, job.actor_label) == ("sample.note", {"text": "t"}, "schedule")
    # Written down, so that a beat that starts again knows when it was last due.
    scheduler.sync()
    assert PeriodicTask.objects.get(name="hub: every minute").last_run_at is not None


def test_a_schedule_of_an_older_release_is_let_pass() -> None:
    schedules.enqueue_scheduled("gone")
    assert not Job.objects.exists()
