"""Archiving a build to its lock, and having it back with the same bytes."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from condahub.accounts.policy import Actor, Permission, require
from condahub.accounts.quota import room_for
from condahub.audit.services import record as audit
from condahub.engine import prefix as prefixes
from condahub.errors import Conflict
from condahub.jobs import services as jobs
from condahub.jobs.context import JobContext
from condahub.jobs.models import Job
from environments_app.artifacts.assembling import Assembly
from environments_app.artifacts.texts import lock_of
from environments_app.building import folders, links, outcome
from environments_app.models import ArtifactState, Build, BuildState
from environments_app.services import environments
from environments_app.services.builds import drop_prefix

RESTORE_KIND = "environments.restore"


def archive_build(*, actor: Actor, build: Build) -> Build:
    """Keep a build's lock, and let its folder and what was packed of it go. Raises Forbidden, Conflict for the current one.

    Its texts are written as before, its archives are packed anew when they are asked for, of the very same packages.
    """
    require(actor, Permission.ENVIRONMENT_UPDATE, build)
    with transaction.atomic():
        environment = environments.lock(build.environment)
        build = Build.objects.select_for_update(of=("self",)).select_related("environment__organization", "lock").get(pk=build.pk)
        if build.archived_at is not None:
            return build
        if build.state != BuildState.COMPLETED:
            raise Conflict(f"Build {build.number} is {build.state}; only a completed one can be archived.", code="build_not_completed")
        if environment.current_build_id == build.pk:
            raise Conflict(f"Build {build.number} is the current one.", code="build_is_current", hint="Activate another first.")
        prefix, build.prefix = build.prefix, ""
        build.archived_at = timezone.now()
        build.save(update_fields=["archived_at", "prefix"])
        # What its rows name is garbage from here on.
        build.artifacts.filter(state=ArtifactState.READY).update(state=ArtifactState.GONE, sha256="", size=0)
        environments.ask_for_links(environment)
        drop_prefix(prefix)
        _audit(actor, "build.archive", build)
    return build


def restore_build(*, actor: Actor, build: Build) -> Job | None:
    """Have the folder of an archived build put together again; the job that does it, None where it is there. Raises Forbidden."""
    require(actor, Permission.ENVIRONMENT_UPDATE, build)
    if build.archived_at is None:
        return None
    with transaction.atomic():
        job = jobs.enqueue(
            kind=RESTORE_KIND,
            payload={"build": build.pk},
            coalesce_key=str(build.pk),
            organization_id=build.environment.organization_id,
            actor_label=actor.label,
        )
        _audit(actor, "build.restore", build)
    return job


def restore(job: JobContext, build_id: int) -> dict[str, object]:
    """Safe to repeat: the folder is moved to its place whole, then the build says so."""
    build = Build.objects.select_related("environment__organization", "specification", "lock").filter(pk=build_id).first()
    if build is None or build.archived_at is None or build.environment.deleted_at is not None:
        return {"restored": False}
    platform = folders.current_platform()
    if platform in build.request.get("platforms", []) and build.lock is not None:
        wrote = build.scripts_sha256
        known = outcome.same_packages(build, lock_of(build), lambda one: one.scripts_sha256 == wrote)
        build.prefix = known.prefix if known is not None else build.key
        # Said first: nobody removes a folder that a build names.
        Build.objects.filter(pk=build.pk).update(prefix=build.prefix)
        _put_back(Assembly(job, build, platform))
    Build.objects.filter(pk=build.pk).update(archived_at=None)
    links.refresh(build.environment_id)
    return {"restored": True}


def _put_back(work: Assembly) -> None:
    if work.has_folder:
        return
    room_for(work.build.environment.organization, work.build.size)
    with work.assembled(compiled=True) as staging:
        prefixes.seal(staging)
        prefixes.place(staging, work.prefix)


def _audit(actor: Actor, action: str, build: Build) -> None:
    audit(
        actor=actor,
        action=action,
        target=f"build:{build}",
        organization_id=build.environment.organization_id,
        details={"lock": build.lock.sha256 if build.lock is not None else None},
    )
