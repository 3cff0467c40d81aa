"""Pages of one build: how it goes, why it failed, what it is made of, what can be done with it; and two builds compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.http import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext

from condahub.accounts.policy import Actor, Permission, can
from condahub.errors import HubError, NotFound
from condahub.jobs import selectors as jobs
from condahub.portal import paging
from condahub.portal.page import PortalRequest, asked, done, failed, page, show
from condahub.portal.polled import unless_known
from environments_app import diffs, selectors
from environments_app.artifacts import archiving
from environments_app.artifacts import services as artifact_services
from environments_app.artifacts.kinds import kind_named, platform_of
from environments_app.diffs import Difference
from environments_app.models import FINAL_STATES, Build, BuildState, Environment, Phase
from environments_app.portal import lines, words
from environments_app.portal.frame import environment_for, head, path_of
from environments_app.portal.pages import packages_of
from environments_app.services import builds as services
from environments_app.services import environments

MAX_LOG_CHUNKS = 400
MAX_NUMBER = 2**31 - 1


def build_for(request: PortalRequest, organization: str, environment: str, number: int) -> Build:
    """The build, if the actor may see it and all that it is made of."""
    found = environment_for(request, organization, environment, Permission.BUILD_READ)
    return selectors.build_for(request.actor, found, min(number, MAX_NUMBER))


@page(anonymous=True)
def build(request: PortalRequest, organization: str, environment: str, number: int) -> HttpResponseBase:
    found = build_for(request, organization, environment, number)
    frame = head(request, found.environment, "builds")
    rows = lines.artifact_rows(request.actor, found)
    context = {
        **frame,
        **_live(request.actor, found),
        **packages_of(request, found if found.state == BuildState.COMPLETED else None),
        "failure": _failure(request.actor, found) if found.state == BuildState.FAILED else None,
        "artifacts": rows,
        "waits": any(row["one"].state == "wanted" for row in rows),
        "paste": lines.use(found.environment, found) if found.state == BuildState.COMPLETED else None,
        "verbs": _verbs(request.actor, found, frame),
        "compare_with": _compare_with(frame, found),
    }
    return show(request, "environments/build.html", context)


@page(anonymous=True)
def live(request: PortalRequest, organization: str, environment: str, number: int) -> HttpResponseBase:
    """How far it is and its log, asked for while it goes on; when it has ended the whole page is asked for."""
    found = build_for(request, organization, environment, number)
    response = render(request, "environments/parts/live.html", {"environment": found.environment, **_live(request.actor, found)})
    if found.state in FINAL_STATES and request.headers.get("HX-Request") == "true":
        response.headers["HX-Refresh"] = "true"
        return response
    return unless_known(request, response)


def _live(actor: Actor, build: Build) -> dict[str, Any]:
    reads_log = build.job is not None and can(actor, Permission.JOB_READ, build)
    chunks = list(jobs.log_of(build.job).order_by("-sequence")[:MAX_LOG_CHUNKS]) if reads_log and build.job is not None else []
    return {
        "build": build,
        "build_look": words.look(build.state),
        "build_sentence": words.of_build(build),
        "seconds": words.duration(build),
        "phases": _phases(build),
        "is_final": build.state in FINAL_STATES,
        "reads_log": reads_log,
        "log": list(reversed(chunks)),
        "cut": len(chunks) == MAX_LOG_CHUNKS,
    }


def _phases(build: Build) -> list[dict[str, Any]]:
    """Each phase that had its time, with its part of the bar, in hundredths; the one that goes on, and the one that failed."""
    timings = {name: float(seconds) for name, seconds in build.timings.items() if name in Phase.values}
    broken = words.failed_in(build)
    shown = [phase for phase in Phase if phase in timings or phase in (build.phase, broken)]
    whole = sum(timings.values()) or 1.0
    found, x = [], 0.0
    for phase in shown:
        seconds = timings.get(phase)
        # A phase of no time at all is a hair, so that it can be seen.
        width = max(0.6, 100 * (seconds or 0.0) / whole)
        state = "running" if phase == build.phase else "failed" if phase == broken else "done"
        found.append(
            {
                "key": phase.value,
                "label": str(words.DOING[phase]),
                "seconds": seconds,
                "x": f"{x:.2f}",
                "width": f"{width:.2f}",
                "state": state,
            }
        )
        x += width
    return found


def _failure(actor: Actor, build: Build) -> dict[str, Any]:
    """What happened, why, what to do, who can."""
    detail = selectors.told_of_failure(actor, build)
    hidden = detail.get("hidden") or []
    return {
        "sentence": build.error_sentence,
        "hint": detail.get("hint", ""),
        "platform": detail.get("platform", ""),
        "tree": detail.get("tree", ""),
        "specs": detail.get("specs") or [],
        "missing": detail.get("missing") or [],
        "hidden": hidden,
        "asks": [(row["channel"], row["spec"]) for row in detail.get("asks") or ()],
    }


def _verbs(actor: Actor, build: Build, frame: dict[str, Any]) -> dict[str, bool]:
    """What may be done with this build now."""
    is_current = frame["environment"].current_build_id == build.pk
    is_done, ended = build.state == BuildState.COMPLETED, build.state in FINAL_STATES
    current = frame["current"]
    change = frame["may_change"]
    return {
        "activate": change and is_done and not is_current,
        "is_older": current is not None and build.number < current.number,
        "cancel": not ended and (can(actor, Permission.BUILD_CANCEL, build) or can(actor, Permission.JOB_CANCEL, build)),
        "again": frame["may_build"] and ended,
        "pin": change and ended and not build.pinned,
        "unpin": change and build.pinned,
        "archive": change and is_done and not is_current and build.archived_at is None,
        "restore": change and build.archived_at is not None,
        "delete": can(actor, Permission.BUILD_DELETE, build) and ended and not is_current and not build.pinned,
        "is_current": is_current,
    }


def _compare_with(frame: dict[str, Any], build: Build) -> int:
    """The number of the build that a person would compare this one with: the current one."""
    current = frame["current"]
    return current.number if current is not None and current.pk != build.pk and build.state == BuildState.COMPLETED else 0


@page(methods=("POST",))
def act(request: PortalRequest, organization: str, environment: str, number: int) -> HttpResponseBase:
    """What a button of the page asks for."""
    found = build_for(request, organization, environment, number)
    path = path_of(found.environment, "build", found.number)
    verb = request.POST.get("verb", "")
    try:
        if verb == "delete":
            services.delete_build(actor=request.actor, build=found)
            return done(request, path_of(found.environment, "builds"), gettext("Build %(number)s is deleted.") % {"number": found.number})
        if verb == "again":
            made = services.build_again(actor=request.actor, build=found)
            return done(request, path_of(made.environment, "build", made.number), gettext("It is built again, with today's channels."))
        return done(request, path, _do(request.actor, found, verb))
    except HubError as error:
        return failed(request, path, error)


def _do(actor: Actor, build: Build, verb: str) -> str:
    if verb == "activate":
        environments.activate_build(actor=actor, environment=build.environment, build=build)
        return gettext("Build %(number)s is what everybody gets now.") % {"number": build.number}
    if verb == "cancel":
        services.cancel_build(actor=actor, build=build)
        return gettext("It is asked to stop.")
    if verb in ("pin", "unpin"):
        services.pin_build(actor=actor, build=build, pinned=verb == "pin")
        return gettext("Pinned: it is kept whatever the rules say.") if verb == "pin" else gettext("The rules may have it now.")
    if verb == "archive":
        archiving.archive_build(actor=actor, build=build)
        return gettext("Archived: its lock is kept, its folder and archives go.")
    if verb == "restore":
        archiving.restore_build(actor=actor, build=build)
        return gettext("Its folder is put together again, of the very same packages.")
    raise HubError(gettext("Nothing was chosen."), code="no_verb", hint=gettext("Go back and try again."))


@page(methods=("POST",))
def make(request: PortalRequest, organization: str, environment: str, number: int) -> HttpResponseBase:
    """Have an artifact made that is not there yet."""
    found = build_for(request, organization, environment, number)
    path = path_of(found.environment, "build", found.number)
    try:
        kind = kind_named(request.POST.get("kind", ""))
        if kind.is_packed:
            platform = platform_of(kind, found, request.POST.get("platform", ""))
            artifact_services.ask(actor=request.actor, build=found, kind=kind, platform=platform)
    except HubError as error:
        return failed(request, path, error)
    return done(request, f"{path}#artifacts", gettext("It is being made; the page shows it when it is there."))


@page(anonymous=True)
def diff(request: PortalRequest, organization: str, environment: str) -> HttpResponseBase:
    """What differs between two builds, by what happened to each package, with sizes and a total."""
    found = environment_for(request, organization, environment, Permission.BUILD_READ)
    before, after = _both(request.actor, found, _number(asked(request, "before")), _number(asked(request, "after")))
    changes = diffs.diff(before, after)
    platforms = sorted({one.platform for one in changes})
    platform = asked(request, "platform")
    shown = [one for one in changes if not platform or one.platform == platform]
    context = {
        "environment": found,
        "organization": found.organization,
        "before": before,
        "after": after,
        "turned": paging.address(request, before=after.number, after=before.number),
        "groups": _groups(shown),
        "total": sum(one.size_change for one in shown),
        "count": len(shown),
        "platforms": platforms,
        "platform": platform if platform in platforms else "",
    }
    return show(request, "environments/diff.html", context)


def _both(actor: Actor, environment: Environment, *numbers: int) -> list[Build]:
    """These builds, in one query. Raises NotFound, also for one that is made of channels the actor may not read."""
    found = {build.number: build for build in Build.objects.visible_to(actor).filter(environment=environment, number__in=numbers)}
    for number in numbers:
        if number not in found:
            said = gettext("'%(environment)s' has no build %(number)s that you may see.")
            raise NotFound(said % {"environment": environment, "number": number}, code="no_such_build")
    return [found[number] for number in numbers]


def _groups(changes: Sequence[Difference]) -> list[dict[str, Any]]:
    groups = []
    for change, label, sign, css in words.CHANGES:
        rows = [one for one in changes if one.change is change]
        if rows:
            groups.append(
                {
                    "key": change.value,
                    "label": label,
                    "sign": sign,
                    "css": css,
                    "rows": _rows(rows),
                    "size": sum(one.size_change for one in rows),
                }
            )
    return groups


def _rows(changes: Iterable[Difference]) -> list[dict[str, Any]]:
    return [
        {
            "one": one,
            "requested": next((package.requested for package in (one.after, one.before) if package is not None and package.requested), ""),
        }
        for one in changes
    ]


def _number(text: str) -> int:
    return min(int(text), MAX_NUMBER) if text.isascii() and text.isdigit() and len(text) < 12 else 0
