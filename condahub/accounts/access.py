"""Reads who held which role in an organization, now or at a moment: now from the grants, a past moment from the audit trail.

What is read here are KEPT_ACTIONS of the trail, which never go, so that what it says of a moment is complete. What people
may do as IT staff, auditors or administrators of the installation is no organization's to tell, and is not read here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from django.utils import timezone

from condahub.accounts.models import Grant, Organization, Team, User
from condahub.accounts.permissions import LEVEL_PERMISSIONS, AccessTarget, Level, Permission, Role
from condahub.accounts.policy import Actor, require
from condahub.audit.models import AuditEvent
from condahub.errors import Unprocessable

GRANTS = ("grant.give", "grant.revoke", "grant.drop")
TEAMS = ("team.create", "team.add_member", "team.remove_member", "team.delete")
ACCOUNTS = ("user.deactivate", "user.reactivate")
# So many changes of roles are replayed at most: a few seconds of work.
MAX_EVENTS = 50_000
CHUNK_NAMES = 500


class Key(NamedTuple):
    """What a role is kept under: who holds it, on what, and who keeps it. subject: `user ada`, `team 7:core`."""

    subject: str
    channel_id: int | None
    package_name: str
    environment_id: int | None
    source: str

    @property
    def level(self) -> Level:
        return AccessTarget(0, self.channel_id, self.package_name, self.environment_id).level

    @property
    def username(self) -> str:
        return self.subject.removeprefix("user ") if self.subject.startswith("user ") else ""

    @property
    def team(self) -> str:
        """The team as `organization id:slug`, '' for a person."""
        return self.subject.removeprefix("team ") if self.subject.startswith("team ") else ""


@dataclass
class Roles:
    """Who held what: roles by key, and the people of the organization's own teams by `organization id:slug`."""

    roles: dict[Key, str] = field(default_factory=dict)
    teams: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def people(self) -> set[str]:
        """Everybody who held anything, by user name."""
        named = {key.username for key in self.roles if key.username}
        return named.union(*(self.teams.get(key.team, set()) for key in self.roles if key.team))


@dataclass(frozen=True)
class Held:
    """One role of somebody, and by what he held it: team is the slug of the team, '' for a role of his own."""

    role: str
    level: Level
    channel_id: int | None
    package_name: str
    environment_id: int | None
    team: str
    source: str

    @property
    def permissions(self) -> frozenset[Permission]:
        return LEVEL_PERMISSIONS[self.role, self.level]


def end_of(day: date | None) -> datetime | None:
    """The last moment of a day (UTC) that is over; None, which means now, for no day, today and later."""
    return datetime.combine(day, time.max, tzinfo=UTC) if day is not None and day < timezone.now().date() else None


def roles_of(actor: Actor, organization: Organization, at: datetime | None = None) -> Roles:
    """Every role in the organization, now or as it was; for who may read its audit trail. Raises Unprocessable for too long a past."""
    require(actor, Permission.ORGANIZATION_AUDIT, organization)
    return _now(organization) if at is None else _replayed(organization, at)


def held_by(found: Roles, organization: Organization, username: str) -> list[Held]:
    """What one person held, the widest first."""
    held = [
        Held(role, key.level, key.channel_id, key.package_name, key.environment_id, key.team.partition(":")[2], key.source)
        for key, role in found.roles.items()
        if key.username == username or (key.team and username in found.teams.get(key.team, ()))
    ]
    if organization.personal_of is not None and organization.personal_of.username == username:
        held.append(Held(Role.OWNER, Level.ORGANIZATION, None, "", None, "", "personal"))
    order = {level: number for number, level in enumerate(Level)}
    return sorted(held, key=lambda one: (order[one.level], one.channel_id or 0, one.environment_id or 0, one.package_name, one.team))


def closed_accounts(usernames: Iterable[str], at: datetime | None = None) -> set[str]:
    """Those of these accounts that were deactivated, now or then; they may do nothing, whatever they hold."""
    names = sorted(set(usernames))
    if at is None:
        return {
            name
            for start in range(0, len(names), CHUNK_NAMES)
            for name in User.objects.filter(username__in=names[start : start + CHUNK_NAMES], is_active=False).values_list(
                "username", flat=True
            )
        }
    last: dict[str, str] = {}
    for start in range(0, len(names), CHUNK_NAMES):
        rows = AuditEvent.objects.filter(target_type="user", target__in=names[start : start + CHUNK_NAMES], action__in=ACCOUNTS, at__lte=at)
        last.update(rows.order_by("id").values_list("target", "action"))
    return {name for name, action in last.items() if action == "user.deactivate"}


def _now(organization: Organization) -> Roles:
    found = Roles()
    for grant in Grant.objects.filter(organization=organization).select_related("user", "team"):
        subject = f"user {grant.user.username}" if grant.user is not None else f"team {grant.team}"
        found.roles[Key(subject, grant.channel_id, grant.package_name, grant.environment_id, grant.source)] = grant.role
    for team in Team.objects.filter(organization=organization).prefetch_related("group__user_set"):
        found.teams[str(team)] = {user.username for user in team.group.user_set.all()}
    return found


def _replayed(organization: Organization, at: datetime) -> Roles:
    events = AuditEvent.objects.filter(organization_id=organization.pk, action__in=("organization.create", *GRANTS, *TEAMS), at__lte=at)
    rows = list(events.order_by("id").values_list("action", "target", "details")[: MAX_EVENTS + 1])
    if len(rows) > MAX_EVENTS:
        raise Unprocessable(
            f"More than {MAX_EVENTS:,} changes of roles came before that day.", code="past_too_long", hint="Ask IT for the audit trail."
        )
    found = Roles()
    for action, target, details in rows:
        _apply(found, organization.pk, action, target, details)
    return found


def _apply(found: Roles, organization_id: int, action: str, target: str, details: dict[str, Any]) -> None:
    team = f"{organization_id}:{target.rpartition(':')[2]}"
    if action == "organization.create":
        found.roles[Key(f"user {details['owner']}", None, "", None, "manual")] = Role.OWNER
    elif action == "grant.give":
        found.roles[_key(details)] = str(details["role"])
    elif action == "grant.revoke":
        found.roles.pop(_key(details), None)
    elif action == "grant.drop":
        noun, _, number = target.partition(" ")
        for key in [key for key in found.roles if str(key.environment_id if noun == "environment" else key.channel_id) == number]:
            del found.roles[key]
    elif action == "team.add_member":
        found.teams[team].add(str(details["member"]))
    elif action == "team.remove_member":
        found.teams[team].discard(str(details["member"]))
    elif action == "team.delete":
        found.teams.pop(team, None)
        for key in [key for key in found.roles if key.team == team]:
            del found.roles[key]


def _key(details: dict[str, Any]) -> Key:
    return Key(details["to"], details["channel_id"], details["package_name"], details["environment_id"], details["source"])
