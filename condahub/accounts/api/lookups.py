"""Finds what a path names, with one answer for what is hidden and what is not there."""

from __future__ import annotations

from condahub.accounts import selectors
from condahub.accounts.models import ApiToken, Grant, GrantSource, Organization, Team, User
from condahub.accounts.permissions import HUB, Permission
from condahub.accounts.policy import Actor, can, require
from condahub.errors import Forbidden, NotAuthenticated, NotFound


def refused(actor: Actor) -> NotAuthenticated | Forbidden:
    return NotAuthenticated() if actor.is_anonymous else Forbidden()


def organization_for(actor: Actor, name: str, permission: Permission = Permission.ORGANIZATION_READ, *others: Permission) -> Organization:
    """The organization on which the actor has this right, or one of the others. Raises NotAuthenticated or Forbidden."""
    found = Organization.objects.filter(name=name, deleted_at__isnull=True).first()
    if found is None or not any(can(actor, one, found) for one in (permission, *others)):
        raise refused(actor)
    return found


def deleted_organization(actor: Actor, name: str) -> Organization:
    """One in its grace period, for staff. Raises Forbidden or NotFound."""
    found = selectors.deleted_organizations(actor).filter(name=name).first()
    if found is None:
        raise NotFound("There is no deleted organization of this name.")
    return found


def team_of(actor: Actor, organization: Organization, slug: str) -> Team:
    """Raises Forbidden, NotFound."""
    found = selectors.teams_of(actor, organization).select_related("organization").filter(slug=slug).first()
    if found is None:
        raise NotFound(f"There is no such team in '{organization.name}'.", code="no_such_team")
    return found


def member_of(actor: Actor, organization: Organization, username: str) -> User:
    """Somebody who is being taken out: oneself, or anybody there for who may change members. Raises Forbidden, NotFound."""
    own = actor.user is not None and actor.user.get_username() == username
    if not own:
        require(actor, Permission.ORGANIZATION_MEMBERS, organization)
    found = User.objects.filter(username=username).first()
    if found is None:
        raise NotFound("There is no such member.", code="no_such_member")
    return found


def membership_of(organization: Organization, user: User) -> Grant:
    """The role on the organization itself that was given to the user by hand. Raises NotFound."""
    whole = {"channel_id": None, "environment_id": None, "package_name": "", "source": GrantSource.MANUAL}
    found = Grant.objects.select_related("organization", "user").filter(organization=organization, user=user, **whole).first()
    if found is None:
        raise NotFound(
            "This user has no role of its own there.", code="no_such_member", hint="A role through a team or a directory ends there."
        )
    return found


def grant_of(actor: Actor, organization: Organization, pk: int) -> Grant:
    """Raises Forbidden, NotFound."""
    found = Grant.objects.select_related("organization", "user", "team").filter(organization=organization, pk=pk).first()
    if found is not None and (found.user_id == actor.user_id or can(actor, Permission.MEMBER_READ, found.access_target)):
        return found
    require(actor, Permission.MEMBER_READ, organization)
    raise NotFound("There is no such grant.", code="no_such_grant")


def robot_of(actor: Actor, organization: Organization, name: str) -> User:
    """Raises Forbidden, NotFound."""
    found = selectors.robots_of(actor, organization).select_related("organization").filter(username=f"{organization.name}+{name}").first()
    if found is None:
        raise NotFound(f"There is no such robot account in '{organization.name}'.", code="no_such_robot")
    return found


def user_for(actor: Actor, username: str) -> User:
    """An account that the actor may see. Raises NotAuthenticated or Forbidden; NotFound to who may see all."""
    found = selectors.visible_users(actor).filter(username=username).first()
    if found is not None:
        return found
    require(actor, Permission.USER_MANAGE, HUB)
    raise NotFound("There is no such user.", code="no_such_user")


def token_for(actor: Actor, pk: int) -> ApiToken:
    """A token that the actor may see. Raises Forbidden, the same for those of others and for none."""
    found = selectors.visible_tokens(actor).filter(pk=pk).first()
    if found is None:
        raise refused(actor)
    return found
