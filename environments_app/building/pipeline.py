"""Runs one build from its claim to its end, whatever that is: what it left behind is removed, its state is moved, who waits is told."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import time
from typing import Any

from django.db import transaction
from django.utils import timezone

from condahub.accounts.models import Organization
from condahub.engine import prefix as prefixes
from condahub.errors import HubError
from condahub.jobs import services as jobs
from condahub.jobs.context import JobCancelled, JobContext, JobPostponed, JobReleased
from condahub.jobs.models import Job
from condahub.jobs.states import JobState, Lane
from environments_app.building import access, folders, links, outcome, phases
from environments_app.building.context import BuildContext, Engine, Scripts
from environments_app.building.limits import Limits, limits_of
from environments_app.building.outcome import Made
from environments_app.models import FINAL_STATES, Build, BuildState, Environment
from environments_app.services.builds import BUILD_KIND, move

logger = logging.getLogger(__name__)

# A build whose organization has enough running looks again after this, or when one of them ends.
WAIT_SECONDS = 30.0
_ARTIFACTS = "environments_app.artifacts.services"
# Would end the same way, or can't be mended by waiting a little.
_FINAL_CODES = frozenset({"storage_full", "quota_exceeded"})
_TOO_MANY_REQUESTS = 429


class BuildFailed(HubError):
    """For the job's readers, some of whom may not read every channel: the build itself says more."""

    code = "build_failed"
    status = 422


def run(job: JobContext, build_id: int) -> dict[str, Any]:
    """Build it. Safe to repeat: an attempt begins with nothing of the one before it."""
    build = Build.objects.select_related("environment__organization", "specification").filter(pk=build_id).first()
    if build is None:
        return {"state": "deleted"}
    if build.state in FINAL_STATES:
        # The worker died between the build's end and the job's.
        after(build)
        return {"state": build.state}
    if build.environment.deleted_at is not None:
        move(build, BuildState.CANCELLED)
        return {"state": build.state}
    remove_leftovers(build)
    limits = limits_of(build.environment)
    _begin(job, build, limits)
    return _attempt(job, build, limits)


def _begin(job: JobContext, build: Build, limits: Limits) -> None:
    """Queued -> running, unless as many of the organization's builds run as may. Raises JobPostponed, JobCancelled."""
    with transaction.atomic():
        Organization.objects.select_for_update().get(pk=build.environment.organization_id)
        if build.state == BuildState.RUNNING:
            move(build, BuildState.QUEUED)
        running = Build.objects.filter(
            environment__organization=build.environment.organization_id, state=BuildState.RUNNING, job__state=JobState.RUNNING
        )
        if running.exclude(pk=build.pk).count() >= limits.concurrent_builds:
            waits = True
        else:
            waits = False
            if not move(build, BuildState.RUNNING, started_at=timezone.now()):
                raise JobCancelled(str(build))
    if waits:
        job.progress(message="Waits for other builds of the organization.")
        raise JobPostponed(WAIT_SECONDS)


def _attempt(job: JobContext, build: Build, limits: Limits) -> dict[str, Any]:
    timings: dict[str, float] = {}
    context: BuildContext | None = None
    try:
        with Engine(limits.memory_bytes) as engine:
            author = access.author_of(build)
            channels = access.channels_of(build, author)
            with access.build_token(build, author, channels, job) as token:
                context = BuildContext(
                    build=build,
                    job=job,
                    author=author,
                    limits=limits,
                    channels=tuple(channels),
                    engine_channels=access.engine_channels(channels),
                    token=token,
                    deadline=time.monotonic() + limits.build_seconds,
                    engine=engine,
                    timings=timings,
                )
                made = _make(context)
        with transaction.atomic():
            outcome.complete(build, job, made, timings)
            # Whoever sees that it is completed finds it in its place.
            links.refresh(build.environment_id)
    except jobs.LeaseLost:
        _remove_staging(build, job)
        raise
    except JobCancelled:
        remove_leftovers(build)
        move(build, BuildState.CANCELLED, timings=timings)
        let_next(build)
        raise
    except JobReleased:
        remove_leftovers(build)
        move(build, BuildState.QUEUED)
        raise
    except HubError as error:
        _clean_up(job, build)
        raise _failed(job, build, error, timings, context) from None
    except Exception:
        _clean_up(job, build)
        logger.exception("%s failed.", job.job)
        inside = HubError("Something went wrong inside the hub.", code="internal", status=500, hint="The operator finds it in the log.")
        raise _failed(job, build, inside, timings, context) from None
    after(build)
    return {"state": build.state, "number": build.number, "packages": build.package_count, "bytes": build.size}


def _make(context: BuildContext) -> Made:
    """The phases."""
    build = context.build
    context.lock = phases.solve(context)
    if context.platform not in context.lock.platforms:
        return Made(phases.install_wheels(context), "", 0)
    wants_wheels = bool(context.request.get("pip"))
    known = None if wants_wheels else outcome.same_packages(build, context.lock, context.ran_alike)
    if known is None:
        phases.install(context)
        phases.run_scripts(context)
        context.lock = phases.install_wheels(context)
        known = outcome.same_packages(build, context.lock, context.ran_alike) if wants_wheels else None
    if known is not None and known.lock is not None:
        context.job.log(f"The same packages as build {known.number}: its folder is used.")
        prefixes.remove(context.staging.parent)
        scripts = Scripts(tuple(known.ran_scripts), known.scripts_sha256, known.scripts_size)
        lock = type(context.lock).from_bytes(bytes(known.lock.content))
        return Made(lock, known.prefix, known.size, tuple(known.link_scripts), scripts)
    phases.compile_bytecode(context)
    phases.place(context)
    return Made(context.lock, build.key, context.size, tuple(context.link_scripts), context.scripts)


def _failed(job: JobContext, build: Build, error: HubError, timings: dict[str, float], context: BuildContext | None) -> HubError:
    """The build's end, or its next attempt; and what the job says."""
    may_pass = (error.status >= 500 or error.status == _TOO_MANY_REQUESTS) and error.code not in _FINAL_CODES
    if may_pass and job.job.attempts < job.job.max_attempts:
        move(build, BuildState.QUEUED)
        return HubError("The build could not be ended; it is tried again.", code="build_retried", status=503)
    outcome.fail(build, error=error, timings=timings, conflict=context.conflict if context is not None else None)
    let_next(build)
    return BuildFailed(f"{build} could not be built.", hint="The build says why.")


def remove_leftovers(build: Build) -> None:
    """What attempts at a build that has not completed left on the disk."""
    for folder in folders.stagings().glob(f"{build.key}-*"):
        prefixes.remove(folder)
    prefixes.remove(folders.prefix(build.key))


def _clean_up(job: JobContext, build: Build) -> None:
    """After a failure. Raises LeaseLost where what lies there is another worker's by now."""
    try:
        jobs.heartbeat(job.job)
    except jobs.LeaseLost:
        _remove_staging(build, job)
        raise
    remove_leftovers(build)
    # Should it be the end itself that failed, they lead where there is nothing.
    links.refresh(build.environment_id)


def _remove_staging(build: Build, job: JobContext) -> None:
    # The lease is another's, and so is everything but this attempt's own folder.
    prefixes.remove(folders.attempt(build.key, job.job.fencing))


def after(build: Build) -> None:
    """What follows the end of a build, whoever ended it: its folders' names, the files made from it, the next in line."""
    links.refresh(build.environment_id)
    let_next(build)
    if build.state == BuildState.COMPLETED and importlib.util.find_spec("environments_app.artifacts") is not None:
        importlib.import_module(_ARTIFACTS).after_build(build)


def let_next(build: Build) -> None:
    """Have builds that waited for one of their organization to end look again."""
    organization_id = Environment.objects.values_list("organization_id", flat=True).get(pk=build.environment_id)
    jobs.hasten(Job.objects.filter(kind=BUILD_KIND, organization_id=organization_id), Lane.HEAVY)
