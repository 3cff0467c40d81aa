"""Reads about jobs: those of some organizations, a log as it grows, how long the lanes' queues are, who works."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from condahub.accounts.actors import Actor
from condahub.jobs.models import Job, JobLog, WorkerBeat
from condahub.jobs.states import JobState, Lane

# Three missed beats.
ALIVE_SECONDS = 30

_guards: dict[str, Callable[[Any], Q]] = {}


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """waiting: due and not claimed; oldest_age_seconds: how long the first of them has been due, None when none waits."""

    waiting: int
    running: int
    oldest_age_seconds: float | None


def register_guard(name: str, hidden_from: Callable[[Any], Q]) -> None:
    """Keep the jobs that `hidden_from(asker)` names from whoever asks, though he may read jobs of their organization: for apps
    whose logs name what fewer may know. From `AppConfig.ready`.
    """
    _guards[name] = hidden_from


def jobs_for(organization_ids: Collection[int] | None, *, asker: Any = None) -> QuerySet[Job]:
    """The jobs of these organizations that the asker may see, the newest first; None means all, the hub's own included (staff)."""
    jobs = Job.objects.order_by("-id")
    if organization_ids is None:
        return jobs
    jobs = jobs.filter(organization_id__in=organization_ids)
    for hidden_from in _guards.values():
        jobs = jobs.exclude(hidden_from(asker or Actor.anonymous()))
    return jobs


def is_hidden(job: Job, asker: Any) -> bool:
    """Whether a guard keeps this job from the asker."""
    return any(Job.objects.filter(hidden_from(asker), pk=job.pk).exists() for hidden_from in _guards.values())


def log_of(job: Job, *, after: int = 0) -> QuerySet[JobLog]:
    """The chunks of the job's log past the sequence number `after`, in order."""
    return JobLog.objects.filter(job=job, sequence__gt=after).order_by("sequence")


def queue_depth() -> dict[Lane, LaneDepth]:
    """How much waits in each lane, and how long the oldest has waited past its due time."""
    now = timezone.now()
    due = Q(state=JobState.WAITING, run_after__lte=now)
    rows = (
        Job.objects.filter(state__in=(JobState.WAITING, JobState.RUNNING))
        .order_by()
        .values("lane")
        .annotate(
            waiting=Count("id", filter=due), active=Count("id", filter=Q(state=JobState.RUNNING)), oldest=Min("run_after", filter=due)
        )
    )
    depths = {lane: LaneDepth(0, 0, None) for lane in Lane}
    for row in rows:
        age = (now - row["oldest"]).total_seconds() if row["oldest"] else None
        depths[Lane(row["lane"])] = LaneDepth(row["waiting"], row["active"], age)
    return depths


def workers_alive() -> QuerySet[WorkerBeat]:
    """The worker processes that spoke lately."""
    return WorkerBeat.objects.filter(seen_at__gte=timezone.now() - timedelta(seconds=ALIVE_SECONDS))
