"""Whose job of a lane is next: organizations take turns, so that many jobs of one never keep another's few waiting."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Count, Max, Min, QuerySet
from django.utils import timezone

from condahub.jobs.models import Job
from condahub.jobs.states import JobState

# When older jobs began is not looked up: in a list without end that would take longer than the claim.
REMEMBERED = timedelta(days=1)


def in_turn(due: QuerySet[Job], lane: str, most: int) -> list[tuple[int, str]]:
    """(id, kind) of up to `most` of the jobs that are due, in the order in which they are to begin.

    First those of the organization of which the fewest run, then of the one whose last job began longest ago; of one
    organization the longest due. What belongs to no organization is the hub's own, which takes turns like one.
    """
    waiting = dict(due.order_by().values_list("organization").annotate(since=Min("run_after")))
    if len(waiting) > 1:
        jobs = Job.objects.filter(lane=lane).order_by()
        running = dict(jobs.filter(state=JobState.RUNNING).values_list("organization").annotate(count=Count("pk")))
        never = timezone.now() - REMEMBERED
        recent = jobs.filter(organization__in=[one for one in waiting if one is not None], created_at__gte=never, started_at__isnull=False)
        begun = dict(recent.values_list("organization").annotate(at=Max("started_at")))
        turns = sorted(waiting, key=lambda one: (running.get(one, 0), begun.get(one, never), waiting[one]))
    else:
        turns = list(waiting)
    found: list[tuple[int, str]] = []
    for organization in turns:
        mine = due.filter(organization=organization).order_by("run_after", "id").values_list("pk", "kind")
        found += mine[: most - len(found)]
        if len(found) >= most:
            break
    return found
