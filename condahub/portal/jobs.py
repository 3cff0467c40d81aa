"""Reads of jobs for the pages: those of one's organizations, those that go on, those that failed."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from condahub.accounts.policy import HUB, AccessTarget, Actor, Permission, can, readable
from condahub.errors import NotFound
from condahub.jobs import selectors
from condahub.jobs.models import Job
from condahub.jobs.states import JobState

MAX_SHOWN = 20
FAILED_DAYS = 7


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
    active = visible_jobs(actor).filter(state__in=(JobState.RUNNING, JobState.WAITING), run_after__lte=due)
    return sorted(active[:MAX_SHOWN], key=lambda job: (job.state != JobState.RUNNING, job.pk))


def failed_lately(actor: Actor) -> list[Job]:
    since = timezone.now() - timedelta(days=FAILED_DAYS)
    return list(visible_jobs(actor).filter(state=JobState.FAILED, finished_at__gte=since)[:5])


def job_for(actor: Actor, number: int) -> Job:
    """Raises NotFound, the same for those of others and for none."""
    job = visible_jobs(actor).filter(pk=number).first()
    if job is None:
        raise NotFound("There is no such job, or you may not see it.", hint="Jobs that ended are kept for a month.")
    return job


def may_cancel(actor: Actor, job: Job) -> bool:
    target = HUB if job.organization_id is None else AccessTarget(organization_id=job.organization_id)
    return not job.is_final and can(actor, Permission.JOB_CANCEL, target)
