"""Environments and builds in words: how one stands, what a build does now, what a setting is for."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from condahub.portal.wording import ago, counted
from environments_app.diffs import Change
from environments_app.models import ArtifactKind, Build, BuildState, Environment, Phase

# The word of a state, as the portal's six looks know it.
LOOKS = {
    BuildState.QUEUED: ("waiting", gettext_lazy("Queued")),
    BuildState.RUNNING: ("running", gettext_lazy("Running")),
    BuildState.COMPLETED: ("done", gettext_lazy("Completed")),
    BuildState.FAILED: ("failed", gettext_lazy("Failed")),
    BuildState.CANCELLED: ("cancelled", gettext_lazy("Cancelled")),
}
DOING = {
    Phase.SOLVE: gettext_lazy("solving"),
    Phase.FETCH: gettext_lazy("fetching packages"),
    Phase.LINK: gettext_lazy("linking"),
    Phase.PIP: gettext_lazy("adding what pip asks for"),
    Phase.COMPILE: gettext_lazy("compiling bytecode"),
    Phase.ARTIFACTS: gettext_lazy("packing"),
}
# What an archive's, an artifact's state looks like.
ARTIFACT_LOOKS = {
    "ready": ("done", gettext_lazy("There")),
    "wanted": ("running", gettext_lazy("Being made")),
    "failed": ("failed", gettext_lazy("Failed")),
    "gone": ("archived", gettext_lazy("Archived")),
    "on_demand": ("waiting", gettext_lazy("On demand")),
}
# Of those kinds whose name is no file's.
ARTIFACTS = {
    ArtifactKind.PINNED: gettext_lazy("environment.yml, pinned"),
    ArtifactKind.ARCHIVE: gettext_lazy("relocatable archive (.tar.gz)"),
    ArtifactKind.ARCHIVE_ZSTD: gettext_lazy("relocatable archive (.tar.zst)"),
    ArtifactKind.INSTALLER: gettext_lazy("self-extracting installer"),
    ArtifactKind.SBOM: gettext_lazy("bill of materials (CycloneDX)"),
    ArtifactKind.SBOM_SPDX: gettext_lazy("bill of materials (SPDX)"),
    ArtifactKind.LOG: gettext_lazy("log"),
}
# (key, label, sign, css)
CHANGES = (
    (Change.ADDED, gettext_lazy("Added"), "+", "added"),
    (Change.REMOVED, gettext_lazy("Removed"), "-", "removed"),
    (Change.UPGRADED, gettext_lazy("Upgraded"), "↑", "changed"),
    (Change.DOWNGRADED, gettext_lazy("Downgraded"), "↓", "removed"),
    (Change.REBUILT, gettext_lazy("Rebuilt"), "=", "changed"),
)


def look(state: str) -> tuple[str, str]:
    name, word = LOOKS[BuildState(state)]
    return name, str(word)


def artifact_look(state: str) -> tuple[str, str]:
    name, word = ARTIFACT_LOOKS[state]
    return name, str(word)


def artifact(kind: ArtifactKind) -> str:
    """What a kind of artifact is called."""
    return str(ARTIFACTS.get(kind, kind.label))


def sentence(environment: Environment, current: Build | None, newest: Build | None) -> str:
    """How an environment stands: what everybody gets, and what is on its way."""
    said = []
    if current is not None:
        said.append(gettext("Current build %(number)s, made %(when)s from %(packages)s") % _of(current))
    elif newest is None:
        said.append(gettext("Nothing has been built yet"))
    else:
        said.append(gettext("Nobody can use it yet"))
    if newest is not None and (current is None or newest.pk != current.pk):
        said.append(_beside(newest))
    text = "; ".join(said) + "."
    if environment.archived_at is not None:
        text += " " + gettext("It was archived %(when)s, and takes no new builds.") % {"when": ago(environment.archived_at)}
    return text


def _of(build: Build) -> dict[str, str]:
    """What sentences say of a build."""
    when = ago(build.ended_at or build.created_at)
    return {"number": str(build.number), "when": when, "packages": counted(build.package_count, "package")}


def _beside(build: Build) -> str:
    """What the newest build is, where it is not the current one."""
    told = _of(build)
    if build.state == BuildState.QUEUED:
        return gettext("build %(number)s waits its turn") % told
    if build.state == BuildState.RUNNING:
        return gettext("build %(number)s is %(doing)s") % {**told, "doing": doing(build)}
    if build.state == BuildState.FAILED:
        return gettext("build %(number)s failed %(when)s") % told
    if build.state == BuildState.CANCELLED:
        return gettext("build %(number)s was cancelled %(when)s") % told
    return gettext("build %(number)s is newer, made %(when)s, and was not chosen") % told


def doing(build: Build) -> str:
    """linking (61 %)."""
    word = str(DOING.get(Phase(build.phase), build.phase)) if build.phase else gettext("beginning")
    job = build.job
    return f"{word} ({min(100, round(100 * job.done / job.total))} %)" if job is not None and job.total else word


def of_build(build: Build) -> str:
    """How one build stands."""
    asked, told = ago(build.created_at), _of(build)
    if build.state == BuildState.QUEUED:
        return gettext("It waits for a builder, asked for %(asked)s.") % {"asked": asked}
    if build.state == BuildState.RUNNING:
        return gettext("It is %(doing)s, asked for %(asked)s.") % {"doing": doing(build), "asked": asked}
    if build.state == BuildState.FAILED:
        where = failed_in(build)
        if not where:
            return gettext("It failed %(when)s. What was current stays so.") % told
        return gettext("It failed %(when)s while %(doing)s. What was current stays so.") % {**told, "doing": DOING[Phase(where)]}
    if build.state == BuildState.CANCELLED:
        return gettext("It was cancelled %(when)s.") % told
    text = gettext("Made %(when)s from %(packages)s.") % told
    if build.archived_at is not None:
        when = {"when": ago(build.archived_at)}
        text += " " + gettext("Archived %(when)s: its lock is kept, its folder is made again on demand.") % when
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
