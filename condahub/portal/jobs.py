"""Reads of jobs for the pages: those of one's organizations, those that go on, those that failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Case, Q, QuerySet, When
from django.utils import timezone
from django.utils.translation import gettext

from condahub.accounts.policy import HUB, AccessTarget, Actor, Permission, can, readable
from condahub.errors import NotFound
from condahub.jobs import selectors
from condahub.jobs.models import Job
from condahub.jobs.states import JobState

MAX_SHOWN = 20
FAILED_DAYS, FAILED_SHOWN = 7, 5
MAX_NEWS = 100
ACTIVE = (JobState.RUNNING, JobState.WAITING)
_RUNNING_FIRST = Case(When(state=JobState.RUNNING, then=0), When(state=JobState.WAITING, then=1), default=2)


def visible_jobs(actor: Actor) -> QuerySet[Job]:
    """The jobs of organizations that the actor may read jobs of; staff see all, the hub's own included."""
    if actor.is_anonymous:
        return Job.objects.none()
    may = readable(actor, Permission.JOB_READ)
    return selectors.jobs_for(None if may.all else may.organization_ids, asker=actor).select_related("organization")


def going_on(actor: Actor) -> list[Job]:
    """What runs or waits its turn now, the running first; no query for nobody. Schedules that wait for their hour are not news."""
    if actor.is_anonymous:
        return []
    due = timezone.now() + timedelta(minutes=1)
    return _by_turn(visible_jobs(actor).filter(state__in=ACTIVE, run_after__lte=due).order_by(_RUNNING_FIRST, "-id")[:MAX_SHOWN])


def _by_turn(jobs: Iterable[Job]) -> list[Job]:
    return sorted(jobs, key=lambda job: (job.state != JobState.RUNNING, job.pk))


@dataclass(frozen=True)
class News:
    """active: what runs or waits its turn, the running first; failed: the last that failed in a week."""

    active: list[Job]
    failed: list[Job]


def news(actor: Actor) -> News:
    """Both in one query, for the dashboard."""
    now = timezone.now()
    active = Q(state__in=ACTIVE, run_after__lte=now + timedelta(minutes=1))
    failed = Q(state=JobState.FAILED, finished_at__gte=now - timedelta(days=FAILED_DAYS))
    rows = list(visible_jobs(actor).filter(active | failed).order_by(_RUNNING_FIRST, "-id")[:MAX_NEWS])
    ended = [job for job in rows if job.state == JobState.FAILED]
    if len(rows) == MAX_NEWS and len(ended) < FAILED_SHOWN:
        # So much goes on that it left no room.
        ended = list(visible_jobs(actor).filter(failed)[:FAILED_SHOWN])
    return News(_by_turn([job for job in rows if job.state != JobState.FAILED][:MAX_SHOWN]), ended[:FAILED_SHOWN])


def job_for(actor: Actor, number: int) -> Job:
    """Raises NotFound, the same for those of others and for none."""
    job = visible_jobs(actor).filter(pk=number).first()
    if job is None:
        raise NotFound(gettext("There is no such job, or you may not see it."), hint=gettext("Jobs that ended are kept for a month."))
    return job


def may_cancel(actor: Actor, job: Job) -> bool:
    target = HUB if job.organization_id is None else AccessTarget(organization_id=job.organization_id)
    return not job.is_final and can(actor, Permission.JOB_CANCEL, target)
