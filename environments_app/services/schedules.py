"""When environments are looked at again by themselves, as their settings have it; what is due is asked for here."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from channels_app.models import Channel, ChannelKind, PackageFile
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.engine.versions import is_newer, is_same, matches, parse_spec
from condahub.errors import Conflict, HubError
from condahub.jobs import clock
from condahub.jobs import services as jobs
from condahub.jobs.models import Job
from condahub.jobs.states import FINAL_STATES as ENDED_JOBS
from environments_app.models import (
    Build,
    BuildPackage,
    Environment,
    EnvironmentSchedule,
    EnvironmentSettings,
    Outcome,
    Rebuild,
    SpecificationKind,
)
from environments_app.services.policies import Merged, Values, settings_for, settings_of_all

REFRESH_KIND = "environments.refresh"
DUE_KIND = "environments.due"
DUE_EVERY_SECONDS = 60
# How soon something newer in a channel is noticed; it costs a query or two.
LOOK_AGAIN = timedelta(minutes=15)
# An environment is solved by itself at most once a day. A little less, as a day may have 23 hours.
AT_MOST_EVERY = timedelta(hours=22)
# Of one organization.
REFRESHES_AT_ONCE = 2
DUE_AT_ONCE = 500
_NO_CRON = "0 3 * * *"


def on_settings(on: Organization | Environment | None, changes: Values) -> None:
    """Bring the schedules that a change of settings touches up to date."""
    if not {"rebuild", "rebuild_cron", "rebuild_time_zone"} & set(changes):
        return
    found = Environment.objects.existing()
    if isinstance(on, Environment):
        plan(found.filter(pk=on.pk))
    else:
        plan(found if on is None else found.filter(organization=on))


def plan(environments: QuerySet[Environment], *, now: datetime | None = None) -> int:
    """Make schedules say what settings say; how many were changed. A new one's first time is the next that its cron names."""
    now = now or timezone.now()
    rows = list(environments.select_related("schedule"))
    settings = settings_of_all(rows)
    changed = 0
    for environment in rows:
        wanted = settings[environment.pk]
        schedule: EnvironmentSchedule | None = getattr(environment, "schedule", None)
        if schedule is None and wanted.rebuild == Rebuild.NEVER:
            continue
        if schedule is None:
            schedule = EnvironmentSchedule(environment=environment)
        if _says(schedule) != _wanted(wanted):
            schedule.mode, schedule.cron, schedule.time_zone = _wanted(wanted)
            schedule.next_run_at = next_time(schedule, now=now)
            schedule.save()
            changed += 1
    return changed


def _says(schedule: EnvironmentSchedule) -> tuple[str, str, str]:
    return schedule.mode, schedule.cron, schedule.time_zone


def _wanted(merged: Merged) -> tuple[str, str, str]:
    cron = (merged.rebuild_cron or _NO_CRON) if merged.rebuild == Rebuild.CRON else ""
    return merged.rebuild, cron, merged.rebuild_time_zone


def next_time(schedule: EnvironmentSchedule, *, now: datetime) -> datetime | None:
    """When it is looked at next; None for never, and while it is stopped."""
    if schedule.mode == Rebuild.NEVER or schedule.stopped_at_build_id is not None:
        return None
    earliest = max(now, schedule.solved_at + AT_MOST_EVERY) if schedule.solved_at else now
    if schedule.mode == Rebuild.CRON:
        try:
            return clock.next_time(schedule.cron, schedule.time_zone, after=earliest)
        except HubError:
            # A zone that this machine has lost since it was set.
            return None
    return max(earliest, now + LOOK_AGAIN) if schedule.looked_at else earliest


def enqueue_due(*, now: datetime | None = None) -> list[int]:
    """Ask for every look whose time has come, a few at once of an organization; the ids of the environments."""
    now = now or timezone.now()
    _catch_up(now)
    due = EnvironmentSchedule.objects.filter(next_run_at__lte=now).exclude(mode=Rebuild.NEVER)
    alive = due.filter(environment__deleted_at=None, environment__archived_at=None, environment__organization__deleted_at=None)
    running: dict[int, int] = {}
    for organization_id in Job.objects.filter(kind=REFRESH_KIND).exclude(state__in=ENDED_JOBS).values_list("organization_id", flat=True):
        running[organization_id or 0] = running.get(organization_id or 0, 0) + 1
    found: list[int] = []
    related = ("environment__organization", "environment__current_build__specification")
    for schedule in alive.select_related(*related).order_by("next_run_at", "pk")[:DUE_AT_ONCE]:
        organization_id = schedule.environment.organization_id
        if running.get(organization_id, 0) >= REFRESHES_AT_ONCE:
            continue
        before = schedule.next_run_at
        wants = _look(schedule, now)
        schedule.next_run_at = now + AT_MOST_EVERY if wants else next_time(schedule, now=now)
        # Who moves the time is who enqueues, if two look at once.
        values = {name: getattr(schedule, name) for name in ("next_run_at", "looked_at", "outcome", "said", "heads")}
        if EnvironmentSchedule.objects.filter(pk=schedule.pk, next_run_at=before).update(**values) and wants:
            running[organization_id] = running.get(organization_id, 0) + 1
            _enqueue(schedule.environment, "schedule")
            found.append(schedule.environment_id)
    return found


def _catch_up(now: datetime) -> None:
    """Schedules of environments that are new since their settings were made, and of stopped ones that have another current build."""
    if EnvironmentSettings.objects.filter(values__has_key="rebuild").exists():
        plan(Environment.objects.existing().filter(schedule=None), now=now)
    stopped = EnvironmentSchedule.objects.filter(stopped_at_build__isnull=False)
    for schedule in stopped.exclude(environment__current_build=F("stopped_at_build")):
        schedule.stopped_at_build = None
        schedule.next_run_at = next_time(schedule, now=now)
        schedule.save(update_fields=["stopped_at_build", "next_run_at"])


def _look(schedule: EnvironmentSchedule, now: datetime) -> bool:
    """Whether it takes a solve to know more; notes on the schedule what it need not."""
    environment = schedule.environment
    build = environment.current_build
    schedule.looked_at = now
    if build is None:
        return False
    said = cannot(environment, build)
    if said is not None:
        schedule.outcome, schedule.said = said
        return False
    if schedule.mode == Rebuild.CRON:
        return True
    channels = list(Channel.objects.filter(pk__in=build.made_of.values("channel")))
    heads = {str(channel.pk): channel.head for channel in channels}
    moved = [channel for channel in channels if schedule.heads.get(str(channel.pk)) != channel.head]
    schedule.heads = heads
    if not any(_gained(channel, build) for channel in moved):
        schedule.outcome, schedule.said = Outcome.NOTHING_NEWER, "No channel has a newer version of what the specification asks for."
        return False
    return True


def cannot(environment: Environment, build: Build) -> tuple[Outcome, str] | None:
    """Why an environment is not rebuilt by itself, whatever is newer."""
    if build.specification.kind != SpecificationKind.YAML:
        return Outcome.LOCKED, "It was built from a lock file, which names every package."
    if environment.current_is_chosen:
        return Outcome.CHOSEN, f"Build {build.number} was chosen by hand; a newer one would take its place."
    return None


def _gained(channel: Channel, build: Build) -> bool:
    """Whether a channel shows a later version or build of what the build's specification asks for, within what it asks for.

    Of a virtual channel, and of a proxy, whose packages are elsewhere, only a solve can tell.
    """
    if channel.kind not in (ChannelKind.HOSTED, ChannelKind.MIRROR):
        return True
    asked = list(build.packages.filter(kind=BuildPackage.Kind.CONDA).exclude(requested=""))
    platforms = {row.platform for row in asked}
    files = PackageFile.objects.shown().filter(channel=channel, name__in={row.name for row in asked}, subdir__in={*platforms, "noarch"})
    columns = ("subdir", "name", "version", "build", "build_number")
    shown: dict[str, list[tuple[str, str, str, int]]] = {}
    for subdir, name, version, string, number in files.order_by().values_list(*columns):
        shown.setdefault(name, []).append((subdir, version, string, number))
    return any(_is_later(row, one) for row in asked for one in shown.get(row.name, ()))


def _is_later(row: BuildPackage, shown: tuple[str, str, str, int]) -> bool:
    subdir, version, string, number = shown
    if subdir not in (row.platform, "noarch"):
        return False
    if not (is_newer(version, row.version) or (is_same(version, row.version) and number > row.build_number)):
        return False
    spec = parse_spec(row.requested.rpartition("::")[2])
    return spec is None or matches(spec, name=row.name, version=version, build=string, build_number=number, subdir=subdir)


def look_now(*, actor: Actor, environment: Environment) -> Job:
    """Have it solved anew now, and built if it comes out newer; the job. Raises Forbidden, Conflict where that can't be."""
    require(actor, Permission.ENVIRONMENT_UPDATE, environment)
    require(actor, Permission.BUILD_CREATE, environment)
    build = environment.current_build
    if build is None or environment.archived_at is not None:
        raise Conflict(f"'{environment}' has nothing to look at.", code="nothing_to_refresh", hint="Build it first.")
    said = cannot(environment, build)
    if said is not None:
        raise Conflict(said[1], code=said[0].value, hint="Activate the newest build, or send a specification.")
    with transaction.atomic():
        audit(
            actor=actor,
            action="environment.refresh",
            target=f"environment:{environment}",
            organization_id=environment.organization_id,
        )
        return _enqueue(environment, actor.label)


def schedule_of(environment: Environment) -> EnvironmentSchedule:
    """When it is looked at next and what came of the last look; one that was never made is not saved."""
    found = EnvironmentSchedule.objects.filter(environment=environment).first()
    if found is not None:
        return found
    mode, cron, time_zone = _wanted(settings_for(environment.organization, environment))
    return EnvironmentSchedule(environment=environment, mode=mode, cron=cron, time_zone=time_zone)


def note(environment: Environment, outcome: Outcome, said: str, *, stopped_at: Build | None = None) -> None:
    """Keep what came of a look, and when the next is; with `stopped_at` there is none until another build is current."""
    now = timezone.now()
    schedule = schedule_of(environment)
    schedule.looked_at = schedule.solved_at = now
    schedule.outcome, schedule.said, schedule.stopped_at_build = outcome, said[:500], stopped_at
    schedule.next_run_at = next_time(schedule, now=now)
    schedule.save()


def _enqueue(environment: Environment, label: str) -> Job:
    return jobs.enqueue(
        kind=REFRESH_KIND,
        payload={"environment": environment.pk},
        coalesce_key=str(environment.pk),
        organization_id=environment.organization_id,
        actor_label=label,
    )
