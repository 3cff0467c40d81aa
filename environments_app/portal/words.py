"""Environments and builds in words: how one stands, what a build does now, what a setting is for."""

from __future__ import annotations

from django.utils import timezone

from condahub.portal.wording import ago, counted
from environments_app.diffs import Change
from environments_app.models import Build, BuildState, Environment, Phase

# The word of a state, as the portal's six looks know it.
LOOKS = {
    BuildState.QUEUED: ("waiting", "Queued"),
    BuildState.RUNNING: ("running", "Running"),
    BuildState.COMPLETED: ("done", "Completed"),
    BuildState.FAILED: ("failed", "Failed"),
    BuildState.CANCELLED: ("cancelled", "Cancelled"),
}
DOING = {
    Phase.SOLVE: "solving",
    Phase.FETCH: "fetching packages",
    Phase.LINK: "linking",
    Phase.PIP: "adding what pip asks for",
    Phase.COMPILE: "compiling bytecode",
    Phase.ARTIFACTS: "packing",
}
# What an archive's, an artifact's state looks like.
ARTIFACT_LOOKS = {
    "ready": ("done", "There"),
    "wanted": ("running", "Being made"),
    "failed": ("failed", "Failed"),
    "gone": ("archived", "Archived"),
    "on_demand": ("waiting", "On demand"),
}
# (key, label, sign, css)
CHANGES = (
    (Change.ADDED, "Added", "+", "added"),
    (Change.REMOVED, "Removed", "-", "removed"),
    (Change.UPGRADED, "Upgraded", "↑", "changed"),
    (Change.DOWNGRADED, "Downgraded", "↓", "removed"),
    (Change.REBUILT, "Rebuilt", "=", "changed"),
)


def look(state: str) -> tuple[str, str]:
    return LOOKS[BuildState(state)]


def sentence(environment: Environment, current: Build | None, newest: Build | None) -> str:
    """How an environment stands: what everybody gets, and what is on its way."""
    said = []
    if current is not None:
        made = ago(current.ended_at or current.created_at)
        said.append(f"Current build {current.number}, made {made} from {counted(current.package_count, 'package')}")
    elif newest is None:
        said.append("Nothing has been built yet")
    else:
        said.append("Nobody can use it yet")
    if newest is not None and (current is None or newest.pk != current.pk):
        said.append(_beside(newest))
    text = "; ".join(said) + "."
    if environment.archived_at is not None:
        text += f" It was archived {ago(environment.archived_at)}, and takes no new builds."
    return text


def _beside(build: Build) -> str:
    """What the newest build is, where it is not the current one."""
    name, when = f"build {build.number}", ago(build.ended_at or build.created_at)
    if build.state == BuildState.QUEUED:
        return f"{name} waits its turn"
    if build.state == BuildState.RUNNING:
        return f"{name} is {doing(build)}"
    if build.state == BuildState.FAILED:
        return f"{name} failed {when}"
    if build.state == BuildState.CANCELLED:
        return f"{name} was cancelled {when}"
    return f"{name} is newer, made {when}, and was not chosen"


def doing(build: Build) -> str:
    """linking (61 %)."""
    word = DOING.get(Phase(build.phase), build.phase) if build.phase else "beginning"
    job = build.job
    return f"{word} ({min(100, round(100 * job.done / job.total))} %)" if job is not None and job.total else word


def of_build(build: Build) -> str:
    """How one build stands."""
    asked = f"asked for {ago(build.created_at)}"
    if build.state == BuildState.QUEUED:
        return f"It waits for a builder, {asked}."
    if build.state == BuildState.RUNNING:
        return f"It is {doing(build)}, {asked}."
    ended = ago(build.ended_at or build.created_at)
    if build.state == BuildState.FAILED:
        return f"It failed {ended}{f' while {DOING[Phase(where)]}' if (where := failed_in(build)) else ''}. What was current stays so."
    if build.state == BuildState.CANCELLED:
        return f"It was cancelled {ended}."
    text = f"Made {ended} from {counted(build.package_count, 'package')}."
    if build.archived_at is not None:
        text += f" Archived {ago(build.archived_at)}: its lock is kept, its folder is made again on demand."
    return text


def failed_in(build: Build) -> str:
    """The phase that a failed build was in; '' where that is not known."""
    phase = build.error_detail.get("phase", "")
    return phase if phase in Phase.values else ""


def duration(build: Build) -> float | None:
    """Seconds that a build took, or has taken so far; None for one that has not begun."""
    if build.started_at is None:
        return None
    return max(((build.ended_at or timezone.now()) - build.started_at).total_seconds(), 0.0)
