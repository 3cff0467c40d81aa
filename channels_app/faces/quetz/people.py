"""Who is seen by whom, and who is a member of which channel with which role: reads that Quetz's people verbs share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from django.db.models import Q, QuerySet

from channels_app.models import Channel
from condahub.accounts.models import Grant, Organization, User
from condahub.accounts.permissions import Role
from condahub.accounts.policy import HUB, AccessTarget, Actor, Permission, can
from condahub.errors import NotFound

_RANK = {role: rank for rank, role in enumerate(Role.values)}


def stronger(one: str | None, other: str) -> str:
    """The role of the two that gives more."""
    return other if one is None or _RANK[other] > _RANK[one] else one


def visible_users(actor: Actor) -> QuerySet[User]:
    """All for staff; others see themselves and the members of their organizations."""
    if can(actor, Permission.USER_MANAGE, HUB):
        return User.objects.order_by("username")
    shared = {
        organization_id
        for organization_id, held in actor.roles().items()
        if any(role.channel_id is None and role.environment_id is None for role in held)
        and can(actor, Permission.ORGANIZATION_READ, AccessTarget(organization_id=organization_id))
    }
    members = Grant.objects.filter(organization_id__in=shared, channel_id=None, environment_id=None)
    seen = (
        Q(pk=actor.user_id)
        | Q(pk__in=members.filter(user__isnull=False).values("user"))
        | Q(groups__team__in=members.filter(team__isnull=False).values("team"))
        | Q(organization_id__in=shared)
    )
    return User.objects.filter(seen, is_active=True).distinct().order_by("username")


def visible_user(actor: Actor, username: str) -> User:
    """Raises NotFound alike for nobody and for somebody whom the actor does not see."""
    found = visible_users(actor).filter(username=username).first()
    if found is None:
        raise no_such_user(username)
    return found


def no_such_user(username: str) -> NotFound:
    return NotFound(f"There is no user '{username[:80]}' that you may see.", code="no_such_user")


def members_of(channels: Iterable[Channel], *, package_name: str = "") -> Mapping[int, dict[int, str]]:
    """{channel id: {user id: hub role}}: by grants on the channel and its organization, through teams too; the strongest counts.

    With `package_name`: those who hold a role on just that name of the channel. One query for grants, one for owners.
    """
    by_organization: dict[int, list[int]] = defaultdict(list)
    for channel in channels:
        by_organization[channel.organization_id].append(channel.pk)
    found: dict[int, dict[int, str]] = {pk: {} for pks in by_organization.values() for pk in pks}
    grants = Grant.objects.filter(
        organization_id__in=by_organization, environment_id=None, organization__personal_of=None, package_name=package_name
    )
    if package_name:
        grants = grants.filter(channel_id__in=found)
    else:
        grants = grants.filter(Q(channel_id=None) | Q(channel_id__in=found))
        for organization_id, owner in Organization.objects.filter(pk__in=by_organization, personal_of__isnull=False).values_list(
            "pk", "personal_of"
        ):
            for pk in by_organization[organization_id]:
                found[pk][owner] = Role.OWNER.value
    rows = grants.order_by().values_list("organization_id", "channel_id", "role", "user_id", "team__group__user")
    for organization_id, channel_id, role, user_id, team_user_id in rows:
        holder = user_id or team_user_id
        if holder is not None:
            for pk in by_organization[organization_id] if channel_id is None else [channel_id]:
                found[pk][holder] = stronger(found[pk].get(holder), role)
    return found
