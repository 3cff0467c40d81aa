"""Reads of mirrors and their runs, as somebody who asks may see them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson
from django.db.models import Case, CharField, F, Max, OuterRef, QuerySet, Subquery, Value, When

from channels_app.models import Channel
from channels_app.selectors import channel_for
from condahub.accounts.policy import Actor, Permission, can
from condahub.errors import NotFound
from condahub.jobs.models import Job
from condahub.jobs.states import FINAL_STATES
from mirrors_app.filling.publishing import decode_state
from mirrors_app.models import PLAN_KIND, REFRESH_KIND, SYNC_KIND, Mirror, MirrorSubdir, RunState, SyncRun, Upstream

# Of so many broken ones the dashboard picks those that the reader may mend.
LOOKED_AT = 50
SHOWN_BROKEN = 5
NEVER, PAUSED = "never", "paused"
# How a mirror stands: its run that goes on, that it is paused, that it never ran, or how its last run ended.
STANDINGS = (*RunState.values, NEVER, PAUSED)
STANDING_CHOICES = [(one, one) for one in STANDINGS]


def mirror_of(channel: Channel) -> Mirror | None:
    """The channel's mirror, whoever asks; for the hub's own use."""
    return Mirror.objects.select_related("channel__organization").filter(channel=channel).first()


def mirror_for(actor: Actor, channel_name: str, permission: Permission = Permission.MIRROR_READ) -> Mirror:
    """The mirror of the channel of this name, if the actor has this right on it.

    Raises NotAuthenticated or Forbidden (a hidden and an unknown channel alike), NotFound where the channel is no mirror.
    """
    channel = channel_for(actor, channel_name, permission)
    found = mirror_of(channel)
    if found is None:
        raise NotFound(f"'{channel.name}' is not a mirror.", code="no_mirror")
    return found


def mirrors_listed(actor: Actor) -> QuerySet[Any]:
    """Those that the actor may read, with `name` and `standing` (of STANDINGS), and without their long texts."""
    rows = Mirror.objects.visible_to(actor).select_related("channel__organization").prefetch_related("upstreams")
    found: QuerySet[Any] = standing(rows).annotate(name=F("channel__name")).defer("lock")
    return found


def standing(rows: QuerySet[Mirror]) -> QuerySet[Any]:
    """With `standing`, of STANDINGS."""
    newest = SyncRun.objects.filter(mirror=OuterRef("pk")).order_by("-id").values("state")[:1]
    return rows.annotate(last_state=Subquery(newest)).annotate(
        standing=Case(
            When(last_state=RunState.RUNNING, then=Value(str(RunState.RUNNING))),
            When(paused=True, then=Value(PAUSED)),
            When(last_state__isnull=True, then=Value(NEVER)),
            default=F("last_state"),
            output_field=CharField(),
        )
    )


def with_standing(mirror: Mirror) -> Any:
    """As one of `mirrors_listed`, read anew."""
    return standing(Mirror.objects.select_related("channel__organization").prefetch_related("upstreams")).get(pk=mirror.pk)


def latest_run(mirror: Mirror) -> SyncRun | None:
    """The run that goes on, else the last one that ended."""
    return SyncRun.objects.select_related("job").filter(mirror=mirror).order_by("-id").first()


def run_of(mirror: Mirror, run_id: int) -> SyncRun:
    """Raises NotFound."""
    run = SyncRun.objects.select_related("job").filter(mirror=mirror, pk=run_id).first()
    if run is None:
        raise NotFound(f"'{mirror.channel.name}' has no such run.", code="no_such_run")
    return run


def latest_runs(mirror_ids: Collection[int]) -> dict[int, SyncRun]:
    """The same of many mirrors, by their id; one query."""
    newest = SyncRun.objects.filter(mirror__in=mirror_ids).order_by().values("mirror").annotate(newest=Max("id")).values("newest")
    return {run.mirror_id: run for run in SyncRun.objects.filter(pk__in=newest)}


def origins_of(names: Collection[str], actor: Actor) -> dict[str, str]:
    """Channel -> its upstream's address, of mirrors with exactly one whose origin the actor may know (`mirror:read`); one query."""
    rows = Upstream.objects.filter(mirror__in=Mirror.objects.visible_to(actor), mirror__channel__name__in=names)
    found: dict[str, set[str]] = {}
    for name, url in rows.values_list("mirror__channel__name", "url"):
        found.setdefault(name, set()).add(url)
    return {name: urls.pop() for name, urls in found.items() if len(urls) == 1}


def broken_mirrors(actor: Actor) -> list[SyncRun]:
    """The last runs of mirrors that the actor may change where these failed or wait for approval, the newest first; one query."""
    newest = SyncRun.objects.filter(mirror=OuterRef("mirror")).order_by("-id").values("pk")[:1]
    bad = SyncRun.objects.filter(state__in=(RunState.FAILED, RunState.HELD), pk=Subquery(newest), mirror__paused=False)
    rows = bad.filter(mirror__in=Mirror.objects.visible_to(actor)).select_related("mirror__channel__organization").order_by("-id")
    return [run for run in rows[:LOOKED_AT] if can(actor, Permission.MIRROR_UPDATE, run.mirror)][:SHOWN_BROKEN]


def unshown_keys(mirror: Mirror) -> dict[str, list[str]]:
    """subdir -> keys of the upstream's index, at its top and in its `info`, that are kept with the raw index and shown to no client:
    they may lead past the hub.
    """
    found = {}
    for subdir, state in MirrorSubdir.objects.filter(mirror=mirror).values_list("subdir", "state"):
        extra: dict[str, Any] = orjson.loads(decode_state(bytes(state)).extra)
        info = extra.pop("info", None) or {}
        keys = sorted({*extra, *(f"info.{key}" for key in info if key != "subdir")})
        if keys:
            found[subdir] = keys
    return found


def job_of(mirror: Mirror) -> Job | None:
    """The job that syncs it now, else the one that waits to."""
    jobs = Job.objects.filter(kind__in=(SYNC_KIND, REFRESH_KIND), coalesce_key=f"mirror:{mirror.pk}").exclude(state__in=FINAL_STATES)
    found = sorted(jobs, key=lambda job: (job.state != "running", job.pk))
    return found[0] if found else None


def plan_job(mirror: Mirror, job_id: int) -> Job:
    """The job of a dry run of this mirror. Raises NotFound."""
    job = Job.objects.filter(pk=job_id, kind=PLAN_KIND).first()
    if job is None or job.payload.get("mirror") != mirror.pk:
        raise NotFound(f"'{mirror.channel.name}' has no such dry run.", code="no_such_plan", hint="Ask for another one.")
    return job
