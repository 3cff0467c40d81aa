"""Ends builds whose job has ended without them, and removes what nothing is made of any more."""

from __future__ import annotations

from django.db.models import Q

from condahub.engine import prefix as prefixes
from condahub.errors import HubError
from condahub.jobs.models import Job
from condahub.jobs.states import FINAL_STATES as FINAL_JOB_STATES
from condahub.jobs.states import JobState
from environments_app.building import folders, outcome, pipeline
from environments_app.models import FINAL_STATES, Build, BuildState
from environments_app.services import builds
from environments_app.services.builds import move

SETTLE_KIND = "environments.settle"
SETTLE_EVERY_SECONDS = 10
SETTLE_AT_ONCE = 200


def settle() -> list[int]:
    """Move builds whose job failed, was cancelled or is gone to where they belong. Returns the ids of those."""
    unfinished = [state for state in BuildState if state not in FINAL_STATES]
    ended = Q(job__isnull=True) | Q(job__state__in=FINAL_JOB_STATES)
    found = Build.objects.filter(ended, state__in=unfinished).select_related("environment__organization", "job", "specification")
    return [build.pk for build in found[:SETTLE_AT_ONCE] if _end(build, build.job)]


def _end(build: Build, job: Job | None) -> bool:
    if job is not None and job.state == JobState.CANCELLED:
        ended = move(build, BuildState.CANCELLED)
    else:
        error = HubError(
            "The build's worker stopped answering in the middle of it.",
            code="worker_lost",
            hint="The operator finds the reason in the worker's log; out of memory is a common one.",
        )
        ended = outcome.fail(build, error=error, timings=build.timings)
    if ended:
        builds.drop_prefix(build.key)
        pipeline.let_next(build)
    return ended


def drop_prefix(prefix: str) -> bool:
    """Remove a folder that no build is in, and none is being made for, with what was to become it. True if it is gone."""
    needed = Q(prefix=prefix) | Q(key=prefix, state__in=[state for state in BuildState if state not in FINAL_STATES])
    if not prefix or Build.objects.filter(needed).exists():
        return False
    for folder in (folders.prefix(prefix), *folders.stagings().glob(f"{prefix}-*")):
        prefixes.remove(folder)
    return True
