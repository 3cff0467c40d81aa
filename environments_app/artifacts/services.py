"""Artifacts of builds: which there are, asked for, kept, counted; each on its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from condahub.accounts.policy import SYSTEM, Actor
from condahub.audit.services import record as audit
from condahub.errors import Conflict, HubError, NotAuthenticated
from condahub.jobs import services as jobs
from condahub.jobs.models import Job
from condahub.jobs.states import JobState
from environments_app.artifacts.kinds import KINDS, Kind, filename_of, platforms_of, require_packable
from environments_app.building import folders
from environments_app.models import ArtifactState, Build, BuildArtifact, BuildState

ARTIFACT_KIND = "environments.artifact"
ON_DEMAND = "on_demand"
_LIVE = (JobState.WAITING, JobState.RUNNING)


@dataclass(frozen=True)
class Listed:
    """One artifact that a build has or may have. state: of ArtifactState, or ON_DEMAND where nobody has asked for it."""

    kind: str
    platform: str
    state: str
    filename: str
    content_type: str
    size: int | None = None
    sha256: str = ""
    error: str = ""


def listed(build: Build) -> list[Listed]:
    """Every artifact of a build for each of its platforms; texts are ready as soon as there is what they are written of."""
    rows = {(row.kind, row.platform): row for row in build.artifacts.all()}
    found = []
    for kind in KINDS.values():
        for platform in platforms_of(build) if kind.per_platform else [""]:
            row = rows.get((kind.kind.value, platform))
            if row is None and not _is_possible(kind, build, platform):
                continue
            found.append(_listed(kind, build, platform, row))
    return found


def _is_possible(kind: Kind, build: Build, platform: str) -> bool:
    if kind.kind == "log":
        return build.job_id is not None
    if kind.needs_lock and build.lock_id is None:
        return False
    if kind.is_packed:
        try:
            require_packable(platform)
        except HubError:
            return False
    return True


def _listed(kind: Kind, build: Build, platform: str, row: BuildArtifact | None) -> Listed:
    name = filename_of(kind, build, platform)
    if not kind.is_packed:
        return Listed(kind.kind, platform, ArtifactState.READY, name, kind.content_type)
    if row is None:
        return Listed(kind.kind, platform, ON_DEMAND, name, kind.content_type)
    return Listed(kind.kind, platform, row.state, name, kind.content_type, row.size or None, row.sha256, row.error)


def find(build: Build, kind: Kind, platform: str) -> BuildArtifact | None:
    """The row of a packed artifact, as it is now."""
    return BuildArtifact.objects.filter(build=build, kind=kind.kind, platform=platform).first()


def ask(*, actor: Actor, build: Build, kind: Kind, platform: str) -> BuildArtifact:
    """Have a packed artifact of a build made, unless it is there or on its way; the row says which.

    Whoever may see the build may have it packed, once signed in: the caller found the build with the actor's rights. Raises
    NotAuthenticated, Conflict for a build that did not complete, Unprocessable for a platform that can't be packed here.
    """
    if actor.is_anonymous:
        raise NotAuthenticated("This has not been made yet; sign in to have it made.")
    require_packable(platform)
    if build.state != BuildState.COMPLETED or build.lock_id is None:
        raise Conflict(
            f"Build {build.number} is {build.state}: it can't be packed.", code="build_not_completed", hint="Wait for it to complete."
        )
    with transaction.atomic():
        row, is_new = BuildArtifact.objects.select_for_update().get_or_create(build=build, kind=kind.kind, platform=platform)
        if row.state == ArtifactState.READY or (not is_new and row.state == ArtifactState.WANTED and live_job(build.pk, platform)):
            return row
        row.state, row.error = ArtifactState.WANTED, ""
        row.save(update_fields=["state", "error"])
        _enqueue(actor, build, platform)
        audit(
            actor=actor,
            action="artifact.ask",
            target=f"build:{build}",
            organization_id=build.environment.organization_id,
            details={"kind": kind.kind.value, "platform": platform},
        )
    return row


def _enqueue(actor: Actor, build: Build, platform: str) -> Job:
    """One job packs all that is wanted of a build on a platform, in one pass."""
    return jobs.enqueue(
        kind=ARTIFACT_KIND,
        payload={"build": build.pk, "platform": platform},
        coalesce_key=_key(build.pk, platform),
        organization_id=build.environment.organization_id,
        actor_label=actor.label,
    )


def _key(build_id: int, platform: str) -> str:
    return f"{build_id}:{platform}"


def live_job(build_id: int, platform: str) -> Job | None:
    """The job that will make, or makes, what is wanted of a build on a platform."""
    return Job.objects.filter(kind=ARTIFACT_KIND, coalesce_key=_key(build_id, platform), state__in=_LIVE).order_by("-pk").first()


def after_build(build: Build) -> None:
    """Have made what the settings want at once, for this machine's platform; what can't be is left out. Safe to repeat."""
    platform = folders.current_platform()
    if build.lock_id is None or platform not in build.request.get("platforms", []):
        return
    for kind in wanted_at_once(build.request.get("artifacts", [])):
        ask(actor=SYSTEM, build=build, kind=kind, platform=platform)


def wanted_at_once(names: Iterable[str]) -> list[Kind]:
    """Those of these kinds that are packed: texts are written when they are asked for."""
    return [KINDS[name] for name in names if name in KINDS and KINDS[name].is_packed]
