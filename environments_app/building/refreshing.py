"""Looks whether an environment would come out newer today, and builds it if so: in its author's name, of its recorded channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from condahub.accounts.policy import Actor
from condahub.engine.lock import HubLock
from condahub.engine.protocol import SolveAnswer, WouldItSolve, stdin_of
from condahub.engine.runner import answer_of, child_argv, child_environment
from condahub.errors import HubError
from condahub.events.services import emit
from condahub.jobs.context import JobContext
from environments_app.building import access, folders, phases
from environments_app.building.limits import limits_of
from environments_app.models import Build, Environment, Outcome
from environments_app.pip import phase
from environments_app.services import builds, schedules
from environments_app.services.requests import Request
from environments_app.spec import SpecInvalid

_SERVER_ERROR = 500


def refresh(job: JobContext, environment_id: int) -> dict[str, Any]:
    """One look. Safe to repeat: what still waits to be built is not built twice."""
    related = ("organization", "current_build__specification", "current_build__lock")
    environment = Environment.objects.existing().select_related(*related).filter(pk=environment_id, archived_at=None).first()
    build = environment.current_build if environment is not None else None
    if environment is None or build is None or build.lock is None:
        return {"outcome": ""}
    build.environment = environment
    if (said := schedules.cannot(environment, build)) is not None:
        return _note(environment, *said)
    try:
        author = access.author_of(build)
        access.channels_of(build, author)
    except access.Withdrawn as error:
        return _withdrawn(environment, build, error)
    try:
        checked = builds.validate(
            actor=author, text=build.specification.text, organization=environment.organization, environment=environment
        )
        found = _solve(job, build, author, checked.request)
        if found is None:
            return _note(environment, Outcome.CONFLICT, "It would not solve today; the current build stays.")
        current = HubLock.from_bytes(bytes(build.lock.content))
        if _conda_of(found) == _conda_of(current):
            folder = folders.prefix(build.prefix)
            if checked.request.pip and not (build.prefix and folder.is_dir()):
                return _note(environment, Outcome.NOTHING_NEWER, "Nothing newer of conda's; wheels are looked for where its folder is.")
            if not checked.request.pip or _wheels_of(_ask_for_wheels(job, build, checked.request, found, folder)) == _wheels_of(current):
                return _note(environment, Outcome.NOTHING_NEWER, "Nothing newer: it would be made of the same packages.")
        newer = builds.build_again(actor=author, build=build)
    except SpecInvalid as error:
        return _note(environment, Outcome.REFUSED, error.problems[0].detail)
    except HubError as error:
        if error.status >= _SERVER_ERROR:
            raise
        return _note(environment, Outcome.REFUSED, error.detail)
    return {**_note(environment, Outcome.BUILT, f"Build {newer.number} was asked for."), "build": newer.number}


def _solve(job: JobContext, build: Build, author: Actor, asked: Request) -> HubLock | None:
    """The lock as it would be today; None where there is none."""
    limits = limits_of(build.environment)
    token, secret = access.reading_token(
        owner=author, channels=asked.channels, name=f"refresh {build.key}", seconds=limits.solve_seconds + phases.GRACE_SECONDS
    )
    try:
        request = WouldItSolve(
            channels=access.engine_channels(asked.channels),
            platforms=phases.platforms_of(asked.values),
            specs=asked.dependencies,
            cache_folder=str(folders.index_cache(build.environment.organization_id)),
            token=secret,
            channel_priority=asked.values.get("channel_priority", "strict"),
            timeout_seconds=limits.solve_seconds,
        )
        result = job.run_child(
            child_argv(),
            stdin=stdin_of(request),
            env=child_environment(access.engine_hosts()),
            timeout_seconds=limits.solve_seconds + phases.GRACE_SECONDS,
            max_memory_bytes=limits.memory_bytes,
        )
    finally:
        token.delete()
    answer = answer_of(request, result)
    assert isinstance(answer, SolveAnswer)
    return answer.lock


def _ask_for_wheels(job: JobContext, build: Build, asked: Request, found: HubLock, folder: Path) -> HubLock:
    limits = limits_of(build.environment)
    asking = phase.Asking(job, build.environment.organization_id, asked.values, limits, min(phase.RESOLVE_SECONDS, limits.build_seconds))
    return phase.would_be(asking, found, folder)


def _wheels_of(lock: HubLock) -> dict[str, set[str]]:
    return {subdir: {wheel.sha256 for wheel in platform.pypi} for subdir, platform in lock.platforms.items()}


def _conda_of(lock: HubLock) -> dict[str, set[tuple[str, str, str, str]]]:
    """Conda's packages without the revisions they were found at."""
    return {
        subdir: {(record.channel, record.subdir, record.filename, record.sha256) for record in platform.conda}
        for subdir, platform in lock.platforms.items()
    }


def _withdrawn(environment: Environment, build: Build, error: access.Withdrawn) -> dict[str, Any]:
    """Not looked at again until somebody has made another build current."""
    emit(
        type="environment.channel_withdrawn",
        target=environment,
        object_name=str(environment),
        object_id=environment.pk,
        payload={"environment": str(environment), "build": build.number},
        once_key=f"withdrawn {build.pk}",
    )
    return _note(environment, Outcome.WITHDRAWN, _without_names(error), stopped_at=build)


def _without_names(error: access.Withdrawn) -> str:
    # Whoever sees the environment need not know the channel.
    return "Whoever asked for it has no account any more." if error.code == "author_gone" else "A channel that it is made of was withdrawn."


def _note(environment: Environment, outcome: Outcome, said: str, *, stopped_at: Build | None = None) -> dict[str, Any]:
    schedules.note(environment, outcome, said, stopped_at=stopped_at)
    return {"outcome": outcome.value, "said": said}
