"""Teams of an organization and who is in them; membership is that of the team's Django group."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from condahub.accounts.models import MANUAL, Organization, RoleSource, Team, User
from condahub.accounts.policy import HUB, Actor, Permission, require
from condahub.accounts.services.organizations import name_unavailable, require_alive
from condahub.accounts.services.ownership import keeping_an_owner
from condahub.audit.services import record
from condahub.errors import Conflict, Unprocessable
from condahub.names import check_name


def create_team(*, actor: Actor, organization: Organization, slug: str, title: str = "", external_group: str = "") -> Team:
    require(actor, Permission.ORGANIZATION_MEMBERS, organization)
    require_alive(organization)
    require_not_personal(organization)
    _check(actor, title=title, external_group=external_group)
    check_name(slug, what="a team")
    with transaction.atomic():
        try:
            with transaction.atomic():
                group = Group.objects.create(name=Team.group_name(organization.pk, slug))
                team = Team.objects.create(organization=organization, slug=slug, title=title, group=group, external_group=external_group)
        except IntegrityError:
            raise name_unavailable() from None
        record(
            actor=actor,
            action="team.create",
            target=f"{organization.name}:{slug}",
            organization_id=organization.pk,
            details={"external_group": external_group},
        )
    return team


def update_team(*, actor: Actor, team: Team, title: str | None = None, external_group: str | None = None) -> Team:
    require(actor, Permission.ORGANIZATION_MEMBERS, team.organization)
    _check(actor, title=title or "", external_group=external_group if external_group != team.external_group else "")
    if title is not None:
        team.title = title
    if external_group is not None:
        team.external_group = external_group
    with transaction.atomic():
        team.save(update_fields=["title", "external_group"])
        _record(actor, "team.update", team, external_group=team.external_group)
    return team


def delete_team(*, actor: Actor, team: Team) -> None:
    """The team goes with its grants; its people stay."""
    require(actor, Permission.ORGANIZATION_MEMBERS, team.organization)
    with transaction.atomic(), keeping_an_owner(team.organization):
        _record(actor, "team.delete", team)
        # By query, so that the caller's object keeps its id when this is rolled back.
        Team.objects.filter(pk=team.pk).delete()
        Group.objects.filter(pk=team.group_id).delete()


def add_member(*, actor: Actor, team: Team, user: User) -> None:
    require(actor, Permission.ORGANIZATION_MEMBERS, team.organization)
    require_alive(team.organization)
    require_may_join(user, team.organization)
    with transaction.atomic():
        if RoleSource.objects.filter(user=user, team=team).exists():
            # A directory's group gave it already: now it outlasts that.
            RoleSource.objects.get_or_create(user=user, team=team, flag="", source=MANUAL)
        user.groups.add(team.group)
        _record(actor, "team.add_member", team, member=user.username)


def remove_member(*, actor: Actor, team: Team, user: User) -> None:
    """Take somebody out; people may leave by themselves. Whom a directory's group put in, is taken out there."""
    if actor.user_id != user.pk or actor.token is not None:
        require(actor, Permission.ORGANIZATION_MEMBERS, team.organization)
    outside = RoleSource.objects.filter(user=user, team=team).exclude(source=MANUAL).first()
    if outside is not None:
        raise Conflict(
            f"This membership comes from a group of {outside.source}.",
            code="given_from_outside",
            hint="Whoever keeps that group takes people out of it; the hub follows at their next sign-in or sync.",
        )
    with transaction.atomic(), keeping_an_owner(team.organization):
        user.groups.remove(team.group)
        RoleSource.objects.filter(user=user, team=team).delete()
        _record(actor, "team.remove_member", team, member=user.username)


def require_not_personal(organization: Organization) -> None:
    if organization.is_personal:
        raise Conflict(
            "A personal organization can't be shared.",
            code="personal_organization",
            hint="Move what is shared into an organization, or make its channel internal or public.",
        )


def require_may_join(user: User, organization: Organization) -> None:
    """Active accounts may; a robot only where it belongs."""
    if not user.is_active:
        raise Conflict("This account is deactivated.", code="account_deactivated", hint="Ask IT staff to reactivate it.")
    if user.is_robot and user.organization_id != organization.pk:
        raise Conflict("A robot account belongs to another organization.", code="foreign_robot", hint="Create a robot account here.")


def _check(actor: Actor, *, title: str, external_group: str | None) -> None:
    if len(title) > 200 or len(external_group or "") > 500 or "\x00" in title + (external_group or ""):
        raise Unprocessable("The title or the external group is not acceptable.", hint="Use at most 200 and 500 characters of text.")
    # Naming a directory's group shows who is in it, which is IT's to give.
    if external_group:
        require(actor, Permission.USER_MANAGE, HUB)


def _record(actor: Actor, action: str, team: Team, **details: str) -> None:
    organization = team.organization
    record(actor=actor, action=action, target=f"{organization.name}:{team.slug}", organization_id=organization.pk, details=details)
