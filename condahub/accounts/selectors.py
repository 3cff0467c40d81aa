"""Reads of accounts: who is in what and why, which organizations, people and tokens somebody may see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from condahub.accounts import words
from condahub.accounts.models import MANUAL, ApiToken, Grant, Invitation, Organization, RoleSource, Team, User, UserKind
from condahub.accounts.permissions import MEMBERS_PERMISSION, Level
from condahub.accounts.policy import HUB, AccessTarget, Actor, HasAccessTarget, Permission, Role, can, require, target_of
from condahub.errors import NotFound

_RANK = {role: rank for rank, role in enumerate(Role.values)}


@dataclass(frozen=True)
class Member:
    """Somebody with a role on an object: the highest one, and every way by which he has one."""

    user: User
    role: str
    why: tuple[str, ...]


def visible_organizations(actor: Actor) -> QuerySet[Organization]:
    """Organizations that the actor may know of: those that something is granted in, and its personal one. Staff and auditors: all."""
    alive = Organization.objects.filter(deleted_at__isnull=True)
    if actor.system:
        return alive
    if actor.user is None or not actor.is_active or (actor.token is not None and not actor.token.allows(Permission.ORGANIZATION_READ)):
        return alive.none()
    limits = actor.limits()
    if limits is not None:
        # As `can` has it: a limit to a channel or package is no way into its organization.
        alive = alive.filter(pk__in={limit.organization_id for limit in limits if limit.channel_id is None})
    if actor.has_staff_power or actor.user.is_auditor:
        return alive
    return alive.filter(pk__in=actor.roles())


def organization_by_name(actor: Actor, name: str) -> Organization:
    """The organization, or NotFound for one that is hidden as for one that is not there."""
    found = visible_organizations(actor).filter(name=name).first()
    if found is None:
        raise NotFound("There is no such organization, or you may not see it.")
    return found


def deleted_organizations(actor: Actor) -> QuerySet[Organization]:
    """Those in their grace period, for staff."""
    require(actor, Permission.USER_MANAGE, HUB)
    return Organization.objects.filter(deleted_at__isnull=False)


def grants_on(actor: Actor, on: HasAccessTarget | AccessTarget) -> QuerySet[Grant]:
    """The grants on exactly this object, not those that reach it from above."""
    target = target_of(on)
    require(actor, Permission.MEMBER_READ, target)
    return Grant.objects.filter(
        organization_id=target.organization_id,
        channel_id=target.channel_id,
        package_name=target.package_name,
        environment_id=target.environment_id,
    ).select_related("user", "team", "team__group", "granted_by")


def members_of(actor: Actor, on: HasAccessTarget | AccessTarget, *, inherited: bool = True) -> list[Member]:
    """Everybody active with a role on the object, by name; with `inherited`, also by a role on what the object lies in."""
    target = target_of(on)
    require(actor, Permission.MEMBER_READ, target)
    reaching = Q(channel_id=None, environment_id=None, package_name="") if inherited or target.level is Level.ORGANIZATION else Q(pk__in=[])
    if target.level is Level.ENVIRONMENT:
        reaching |= Q(environment_id=target.environment_id)
    elif target.channel_id is not None:
        if inherited or target.level is Level.CHANNEL:
            reaching |= Q(channel_id=target.channel_id, package_name="")
        if target.level is Level.PACKAGE:
            reaching |= Q(channel_id=target.channel_id, package_name=target.package_name)
    grants = Grant.objects.filter(reaching, organization_id=target.organization_id)
    return _gathered(_ways(grants.select_related("user", "team")), target)


def _ways(grants: QuerySet[Grant]) -> Iterable[tuple[User, str, str]]:
    """(user, role, why) for every way by which somebody has a role; two queries."""
    rows = list(grants)
    # Who is in another organization's team is for that one to tell.
    teams = {row.team_id for row in rows if row.team is not None and row.team.organization_id == row.organization_id}
    people: dict[int, list[User]] = {}
    for team in Team.objects.filter(pk__in=teams).select_related("group").prefetch_related("group__user_set"):
        people[team.pk] = list(team.group.user_set.all())
    for row in rows:
        if row.user is not None:
            yield row.user, row.role, words.held_by_hand(row)
        elif row.team is not None:
            for user in people.get(row.team.pk, []):
                yield user, row.role, words.held_by_team(row, row.team.slug)


def _gathered(ways: Iterable[tuple[User, str, str]], target: AccessTarget) -> list[Member]:
    found: dict[int, Member] = {}
    owner = User.objects.filter(personal_organization=target.organization_id).first()
    if owner is not None:
        ways = [(owner, Role.OWNER.value, gettext("the person whose organization it is"))]
    for user, role, why in ways:
        if not user.is_active:
            continue
        before = found.get(user.pk)
        best = role if before is None else max(before.role, role, key=_RANK.__getitem__)
        found[user.pk] = Member(user, best, (*(before.why if before else ()), why))
    return sorted(found.values(), key=lambda member: member.user.username)


def invitations_of(actor: Actor, organization: Organization) -> QuerySet[Invitation]:
    """Those that still wait for an answer, for who may send some."""
    require(actor, Permission.ORGANIZATION_MEMBERS, organization)
    waiting = Invitation.objects.filter(organization=organization, accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())
    return waiting.select_related("team", "invited_by")


def teams_of(actor: Actor, organization: Organization) -> QuerySet[Team]:
    require(actor, Permission.MEMBER_READ, organization)
    return Team.objects.filter(organization=organization).select_related("group")


def outside_sources(teams: Iterable[Team]) -> dict[tuple[int, int], str]:
    """(team, user) to the source of whoever is in a team by a group from outside; one query. For who may see the teams."""
    rows = RoleSource.objects.filter(team__in=list(teams)).exclude(source=MANUAL)
    return {(row.team_id, row.user_id): f"{row.source}: {row.group}" for row in rows if row.team_id is not None}


def robots_of(actor: Actor, organization: Organization) -> QuerySet[User]:
    require(actor, Permission.TOKEN_READ, organization)
    return User.objects.filter(organization=organization)


def visible_users(actor: Actor) -> QuerySet[User]:
    """People the actor may see: himself and those he shares an organization with; staff and auditors see all."""
    everybody = User.objects.filter(kind=UserKind.PERSON)
    if actor.system or can(actor, Permission.USER_MANAGE, HUB):
        return everybody
    if actor.user is None or not actor.is_active:
        return everybody.none()
    if actor.user.is_auditor and actor.token is None:
        return everybody
    if actor.token is not None and (actor.token.is_limited or not actor.token.allows(Permission.MEMBER_READ)):
        return everybody.filter(pk=actor.user.pk)
    # Whoever may list an organization's members sees them here too, and nobody else.
    shared = [pk for pk in actor.roles() if can(actor, Permission.MEMBER_READ, AccessTarget(organization_id=pk))]
    beside = Grant.objects.filter(organization_id__in=shared)
    named = beside.filter(user__isnull=False).values("user_id")
    in_teams = User.objects.filter(groups__team__in=beside.filter(team__isnull=False).values("team_id")).values("pk")
    return everybody.filter(Q(pk=actor.user.pk) | Q(pk__in=named) | Q(pk__in=in_teams))


def user_for_grant(actor: Actor, username: str, on: HasAccessTarget | AccessTarget) -> User:
    """The active account of exactly that name, for somebody who may change who is a member there."""
    target = target_of(on)
    require(actor, MEMBERS_PERMISSION[target.level], target)
    found = User.objects.filter(username=username, is_active=True).first()
    if found is None or (found.is_robot and found.organization_id != target.organization_id):
        raise NotFound("There is no such user.", hint="Give the exact user name.")
    return found


def tokens_of(actor: Actor, owner: User) -> QuerySet[ApiToken]:
    """All tokens of an account: one's own, a robot's for the owners of its organization, anybody's for staff and auditors."""
    own = owner.pk == actor.user_id and actor.is_active and (actor.token is None or actor.token.allows(Permission.TOKEN_READ))
    if not own:
        require(actor, Permission.TOKEN_READ, owner.organization or HUB)
    return ApiToken.objects.filter(owner=owner).select_related("owner", "owner__organization").prefetch_related("limits")


def visible_tokens(actor: Actor) -> QuerySet[ApiToken]:
    """Every token the actor may see, as `tokens_of` has it."""
    tokens = ApiToken.objects.select_related("owner", "owner__organization").prefetch_related("limits")
    if can(actor, Permission.TOKEN_READ, HUB):
        return tokens
    if actor.user is None or not actor.is_active or (actor.token is not None and not actor.token.allows(Permission.TOKEN_READ)):
        return tokens.none()
    homes = [pk for pk in actor.roles() if can(actor, Permission.TOKEN_READ, AccessTarget(organization_id=pk))]
    return tokens.filter(Q(owner=actor.user) | Q(owner__organization__in=homes))
