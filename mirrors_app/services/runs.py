"""Ask for runs and plans, cancel a run, approve an index that a run held."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from channels_app import selectors as channel_selectors
from condahub.accounts.policy import Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict
from condahub.jobs import services as jobs
from condahub.jobs.models import Job
from condahub.jobs.states import FINAL_STATES
from mirrors_app.models import PLAN_KIND, REFRESH_KIND, SYNC_KIND, Mirror, MirrorMode, RunState, RunTrigger, SyncRun
from mirrors_app.services import filtering

# What is held and can't be approved: there is nothing in it that could be followed.
NOT_AN_INDEX = "not_an_index"


def run_now(*, actor: Actor, mirror: Mirror, run_after: datetime | None = None) -> Job:
    """Have it synced as soon as a worker is free, or at that time; the one that waits already, if one does.

    Raises Forbidden, Conflict `lazy_mirror`.
    """
    require(actor, Permission.MIRROR_SYNC, mirror)
    _refuse_lazy(mirror)
    audit(actor=actor, action="mirror.run", target=f"channel:{mirror.channel.name}", organization_id=mirror.channel.organization_id)
    return enqueue_sync(mirror, trigger=RunTrigger.PERSON, actor_label=actor.label, run_after=run_after)


def enqueue_sync(mirror: Mirror, *, trigger: RunTrigger, actor_label: str, run_after: datetime | None = None) -> Job:
    """For the hub's own use: the job of the next run. One runs at a time, and one waits at most."""
    return jobs.enqueue(
        kind=SYNC_KIND,
        payload={"mirror": mirror.pk, "trigger": str(trigger)},
        coalesce_key=f"mirror:{mirror.pk}",
        organization_id=mirror.channel.organization_id,
        actor_label=actor_label,
        run_after=run_after,
    )


def enqueue_refresh(mirror: Mirror) -> Job:
    """For the hub's own use: the job that takes a proxy's index; one that waits already is enough."""
    return jobs.enqueue(
        kind=REFRESH_KIND,
        payload={"mirror": mirror.pk},
        coalesce_key=f"mirror:{mirror.pk}",
        organization_id=mirror.channel.organization_id,
        actor_label="proxy",
    )


def ask_plan(*, actor: Actor, mirror: Mirror, filters: Mapping[str, Any] | None = None) -> Job:
    """Find out what a run would do, and do nothing; with other filters to try, if given. The job's result is `Plan.as_dict()`.

    Raises Forbidden, BadConfiguration, Conflict `lazy_mirror`.
    """
    require(actor, Permission.MIRROR_SYNC, mirror)
    _refuse_lazy(mirror)
    payload: dict[str, Any] = {"mirror": mirror.pk}
    if filters is not None:
        payload["filters"] = filtering.as_json(filtering.read_filters(filters))
    return jobs.enqueue(kind=PLAN_KIND, payload=payload, organization_id=mirror.channel.organization_id, actor_label=actor.label)


def cancel_run(*, actor: Actor, mirror: Mirror) -> list[Job]:
    """Stop the run that goes on and the one that waits; what was fetched is kept for the next. Raises Forbidden, Conflict `no_run`."""
    require(actor, Permission.MIRROR_SYNC, mirror)
    cancelled = cancel_all(mirror, actor=actor)
    if not cancelled:
        raise Conflict(f"'{mirror.channel.name}' is not being synced.", code="no_run", hint="There is nothing to cancel.")
    audit(actor=actor, action="mirror.cancel", target=f"channel:{mirror.channel.name}", organization_id=mirror.channel.organization_id)
    return cancelled


def cancel_all(mirror: Mirror, *, actor: Actor) -> list[Job]:
    """For the hub's own use: every job of this mirror that has not ended."""
    cancelled = []
    for job in Job.objects.filter(kind=SYNC_KIND, coalesce_key=f"mirror:{mirror.pk}").exclude(state__in=FINAL_STATES):
        try:
            cancelled.append(jobs.cancel(actor, job))
        except Conflict:
            # It ended between two looks.
            continue
    return cancelled


def approve(*, actor: Actor, mirror: Mirror) -> Job:
    """Follow the index that the last run held, just as it was then, and run again. Raises Forbidden, Conflict."""
    require(actor, Permission.MIRROR_UPDATE, mirror)
    with transaction.atomic():
        channel_selectors.lock(mirror.channel)
        run = SyncRun.objects.filter(mirror=mirror).exclude(state=RunState.RUNNING).order_by("-id").first()
        if run is None or run.state != RunState.HELD:
            raise Conflict(f"No index of '{mirror.channel.name}' waits for approval.", code="nothing_held")
        approvals = [one["approval"] for one in run.held if one["verdict"] != NOT_AN_INDEX]
        if not approvals:
            raise Conflict(
                "What the upstream gave is no index, so there is nothing to follow.",
                code="not_an_index",
                hint="Look at the upstream; the next run goes on when it is right again.",
            )
        mirror.refresh_from_db(fields=["approved"])
        mirror.approved = sorted({*mirror.approved, *approvals})
        mirror.save(update_fields=["approved"])
        SyncRun.objects.filter(pk=run.pk).update(approved_by=actor.label, approved_at=timezone.now())
        audit(
            actor=actor,
            action="mirror.approve",
            target=f"channel:{mirror.channel.name}",
            organization_id=mirror.channel.organization_id,
            details={"run": run.pk, "held": [{"subdir": one["subdir"], "reason": one["reason"]} for one in run.held]},
        )
        return enqueue_sync(mirror, trigger=RunTrigger.APPROVAL, actor_label=actor.label)


def _refuse_lazy(mirror: Mirror) -> None:
    if mirror.mode == MirrorMode.LAZY:
        raise Conflict(f"'{mirror.channel.name}' is a proxy: it fetches on demand.", code="lazy_mirror", hint="Nothing has to be run.")
