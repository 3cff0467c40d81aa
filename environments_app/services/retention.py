"""Retention: which builds an environment's settings let go of, and letting them go: archived to their lock, or deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, require
from condahub.errors import Conflict, Forbidden
from environments_app.artifacts.archiving import archive_build
from environments_app.models import FINAL_STATES, Build, BuildState, Environment
from environments_app.services.builds import delete_build
from environments_app.services.policies import Merged, settings_of_all

RETENTION_KIND = "environments.retention"
# At night, when nobody waits for the disk.
RETENTION_CRONTAB = "40 3 * * *"
ARCHIVE, DELETE = "archive", "delete"
_CHUNK = 200


@dataclass(frozen=True)
class Going:
    """One build that goes. action: ARCHIVE or DELETE; size: bytes of its folder, which others may share."""

    build: Build
    action: str
    reason: str

    @property
    def size(self) -> int:
        return 0 if self.build.archived_at is not None else self.build.size


def plan(*, actor: Actor, on: Organization | Environment | None = None) -> list[Going]:
    """What would go now of the builds that the actor may see, oldest first in each environment; None: of all environments.

    Raises NotAuthenticated, Forbidden.
    """
    _require(actor, on)
    return [going for environments in _chunks(_environments(on)) for going in _going(actor, environments, timezone.now())]


def apply(*, actor: Actor, on: Organization | Environment | None = None) -> list[Going]:
    """Let it go; what has become current or pinned meanwhile stays. Safe to repeat. Raises NotAuthenticated, Forbidden."""
    _require(actor, on)
    done = []
    for environments in _chunks(_environments(on)):
        for going in _going(actor, environments, timezone.now()):
            try:
                if going.action == ARCHIVE:
                    archive_build(actor=actor, build=going.build)
                else:
                    delete_build(actor=actor, build=going.build)
            except (Conflict, Forbidden):
                continue
            done.append(going)
    return done


def _require(actor: Actor, on: Organization | Environment | None) -> None:
    if on is not None:
        require(actor, Permission.BUILD_DELETE, on)
    elif not actor.system:
        raise Forbidden()


def _environments(on: Organization | Environment | None) -> QuerySet[Environment]:
    found = Environment.objects.existing().select_related("organization").order_by("pk")
    if isinstance(on, Environment):
        return found.filter(pk=on.pk)
    return found if on is None else found.filter(organization=on)


def _chunks(environments: QuerySet[Environment]) -> Iterator[list[Environment]]:
    last = 0
    while rows := list(environments.filter(pk__gt=last)[:_CHUNK]):
        last = rows[-1].pk
        yield rows


def _going(actor: Actor, environments: Iterable[Environment], now: datetime) -> Iterator[Going]:
    settings = settings_of_all(environments)
    ruled = [one for one in environments if settings[one.pk].retention_keep_last or settings[one.pk].retention_days]
    visible = set(Build.objects.visible_to(actor).filter(environment__in=ruled).order_by().values_list("pk", flat=True))
    for environment in ruled:
        rows = environment.builds.select_related("environment__organization", "lock").filter(state__in=FINAL_STATES)
        found = _past(list(rows.order_by("-number")), environment.current_build_id, settings[environment.pk], now)
        yield from (going for going in reversed(list(found)) if going.build.pk in visible)


def _past(builds: list[Build], current_id: int | None, rules: Merged, now: datetime) -> Iterator[Going]:
    """Of builds with the newest first: those past the last N that completed, or past the age. Kept: the current and pinned ones."""
    completed = 0
    for build in builds:
        enough = rules.retention_keep_last is not None and completed >= rules.retention_keep_last
        completed += build.state == BuildState.COMPLETED
        ended_at = build.ended_at or build.created_at
        old = rules.retention_days is not None and ended_at < now - timedelta(days=rules.retention_days)
        if build.pk == current_id or build.pinned or not (enough or old):
            continue
        reason = f"older than {rules.retention_days} days" if old else f"past the newest {rules.retention_keep_last}"
        if rules.retention_then == DELETE:
            yield Going(build, DELETE, reason)
        elif build.state == BuildState.COMPLETED and build.archived_at is None:
            yield Going(build, ARCHIVE, reason)
