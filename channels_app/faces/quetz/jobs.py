"""Quetz's jobs: those of this hub, as the people of the organization or channel that they are for may see them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from channels_app.faces.entry import Query, json_object, require_signed_in, text_of
from channels_app.faces.quetz import shapes
from condahub.accounts.policy import HUB, AccessTarget, Actor, Permission, can, require
from condahub.errors import HubError, NotFound, Unprocessable
from condahub.jobs.models import Job
from condahub.jobs.selectors import jobs_for
from condahub.jobs.services import cancel
from condahub.jobs.states import JobState

STATUS = {
    JobState.WAITING: "pending",
    JobState.RUNNING: "running",
    JobState.DONE: "success",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}
# Quetz's other words for states; nothing here is ever in them.
NEVER = frozenset({"timeout"})


def shaped(job: Job) -> dict[str, Any]:
    """Quetz's Job: `manifest` is the kind of work. What a job works on and found stays out: it may name private things."""
    return {
        "id": job.pk,
        "created": shapes.in_iso(job.created_at),
        "status": STATUS[JobState(job.state)],
        "manifest": job.kind,
        "items_spec": None,
        "start_at": shapes.in_iso(job.run_after),
        "repeat_every_seconds": None,
        "owner_id": job.actor_label,
    }


def list_jobs(request: HttpRequest, actor: Actor) -> object:
    """Newest first; `status` (repeatable) narrows."""
    require_signed_in(actor)
    jobs = visible_jobs(actor)
    asked = request.GET.getlist("status")
    if asked:
        known = {word: state for state, word in STATUS.items()}
        unknown = [word for word in asked if word not in known and word not in NEVER]
        if unknown:
            raise Unprocessable(f"There is no status '{unknown[0][:40]}'.", code="bad_value", hint=f"One of {', '.join(known)}.")
        jobs = jobs.filter(state__in=[known[word] for word in asked if word in known])
    return shapes.listing(Query(request), jobs, _all_shaped, paginated=True)


def get_job(request: HttpRequest, actor: Actor, job: str) -> object:
    return shaped(_found(actor, job))


def list_tasks(request: HttpRequest, actor: Actor, job: str) -> object:
    """A job of this hub is one task."""
    found = _found(actor, job)
    task = {
        "id": found.pk,
        "job_id": found.pk,
        "created": shapes.in_iso(found.created_at),
        "status": STATUS[JobState(found.state)],
        "package_version": None,
    }
    return shapes.listing(Query(request), [task], list, paginated=True)


def change_job(request: HttpRequest, actor: Actor, job: str) -> object:
    """Quetz's PATCH: `{"status": "cancelled"}` is the one change there is."""
    found = _found(actor, job)
    organization = AccessTarget(organization_id=found.organization_id) if found.organization_id else HUB
    require(actor, Permission.JOB_CANCEL, organization)
    if text_of(json_object(request), "status") != "cancelled":
        raise Unprocessable("A job can only be cancelled.", code="bad_value", hint='Send {"status": "cancelled"}.')
    return shaped(cancel(actor, found))


def create_job(request: HttpRequest, actor: Actor) -> object:
    """Declined: a manifest names code of the server to run."""
    require_signed_in(actor)
    raise HubError(
        "Jobs are not made from manifests here: a client would name the code to run.",
        code="declined",
        status=501,
        hint="Use PUT /api/channels/<channel>/actions, or the verb that is needed.",
    )


def visible_jobs(actor: Actor) -> QuerySet[Job]:
    """All for staff; else those of organizations and channels where the actor may read jobs."""
    if can(actor, Permission.JOB_READ, HUB):
        return jobs_for(None)
    organizations, channels = set(), set()
    for organization_id, held in actor.roles().items():
        if can(actor, Permission.JOB_READ, AccessTarget(organization_id=organization_id)):
            organizations.add(organization_id)
        channels |= {
            role.channel_id
            for role in held
            if role.channel_id is not None
            and can(actor, Permission.JOB_READ, AccessTarget(organization_id=organization_id, channel_id=role.channel_id))
        }
    return jobs_for(None).filter(Q(organization_id__in=organizations) | Q(payload__channel__in=sorted(channels)))


def _found(actor: Actor, job: str) -> Job:
    require_signed_in(actor)
    found = visible_jobs(actor).filter(pk=int(job)).first()
    if found is None:
        raise NotFound("There is no such job that you may see.", code="no_such_job")
    return found


def _all_shaped(jobs: Iterable[Job]) -> list[dict[str, Any]]:
    return [shaped(job) for job in jobs]
