"""Who holds a role on an environment: people and teams of its organization, and teams of others that it is shared with."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from condahub.accounts.models import Grant, Team
from condahub.accounts.policy import Actor, Permission, Role, require
from condahub.accounts.selectors import grants_on, user_for_grant, visible_organizations
from condahub.accounts.services import grant, revoke_grant
from condahub.errors import NotFound, Unprocessable
from environments_app.models import Environment
from environments_app.services import environments, sharing

# Another organization's team builds and looks; who else may, its own organization says.
ROLES_ELSEWHERE = (Role.READER, Role.CONTRIBUTOR, Role.MAINTAINER)


def members_of(*, actor: Actor, environment: Environment) -> QuerySet[Grant]:
    """The grants on exactly this environment. Raises NotAuthenticated, Forbidden."""
    return grants_on(actor, environment).select_related("user", "team__organization").order_by("pk")


def give_role(*, actor: Actor, environment: Environment, role: str, user: str = "", team: str = "", organization: str = "") -> Grant:
    """Give a user or a team, by name, a role on an environment, in place of the one it holds there.

    organization: whose team it is, the environment's own unless named. A team of another sees what is made of channels that
    it may read; for each other one, an owner of that channel must be who shares it. Raises NotAuthenticated, Forbidden, NotFound
    (also for an organization that the actor may not know of), Unprocessable, Conflict.
    """
    require(actor, Permission.ENVIRONMENT_MEMBERS, environment)
    if bool(user) == bool(team):
        raise Unprocessable("A role is for one user or one team.", hint="Name either a user or a team.")
    if user:
        found = user_for_grant(actor, user, environment)
        return grant(actor=actor, on=environment, role=role, user=found, object_name=str(environment))
    named = _team(actor, environment, team, organization)
    elsewhere = named.organization_id != environment.organization_id
    if elsewhere and role not in ROLES_ELSEWHERE:
        raise Unprocessable(
            "Another organization's team can't own this.", code="invalid_role", hint=f"One of {', '.join(ROLES_ELSEWHERE)}."
        )
    with transaction.atomic():
        environment = environments.lock(environment)
        if elsewhere:
            sharing.share(
                actor=actor,
                environment=environment,
                visibility=environment.visibility,
                channels=sharing.channels_of(environment),
                team=named,
            )
        return grant(actor=actor, on=environment, role=role, team=named, object_name=str(environment), from_elsewhere=elsewhere)


def take_role(*, actor: Actor, environment: Environment, number: int) -> None:
    """Take a role on this environment away; people may give up their own. Raises NotAuthenticated, Forbidden, NotFound."""
    own = Grant.objects.filter(environment_id=environment.pk, pk=number).select_related("user", "team", "organization").first()
    if own is None or own.user_id is None or own.user_id != actor.user_id:
        require(actor, Permission.ENVIRONMENT_MEMBERS, environment)
    if own is None:
        raise NotFound("There is no such grant on this environment.", code="no_such_grant")
    revoke_grant(actor=actor, grant=own, object_name=str(environment))


def _team(actor: Actor, environment: Environment, slug: str, organization: str) -> Team:
    teams = Team.objects.select_related("organization").filter(slug=slug)
    if not organization or organization == environment.organization.name:
        found = teams.filter(organization=environment.organization_id).first()
    else:
        # Whoever shares must know of the other organization; else a name could be found out by trying.
        found = teams.filter(organization__in=visible_organizations(actor).filter(name=organization, personal_of=None)).first()
    if found is None:
        raise NotFound(
            "There is no such team, or you may not know of it.",
            code="no_such_team",
            hint="A team of another organization is named by somebody with a role in that, or by IT.",
        )
    return found
