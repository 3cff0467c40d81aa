"""Grants: given, changed, taken away, and dropped when their object goes."""

from __future__ import annotations

import re

from django.db import transaction

from condahub.accounts import cache
from condahub.accounts.models import Grant, GrantSource, Organization, Team, TokenLimit, User
from condahub.accounts.permissions import MEMBERS_PERMISSION, Level
from condahub.accounts.policy import AccessTarget, Actor, HasAccessTarget, Role, require, target_of
from condahub.accounts.services.organizations import require_alive
from condahub.accounts.services.ownership import keeping_an_owner
from condahub.accounts.services.teams import require_may_join, require_not_personal
from condahub.audit.services import record
from condahub.errors import Unprocessable

# Conda's own rule (CEP 26) for the names of packages.
PACKAGE_NAME_PATTERN = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,126}[a-z0-9_])?")


def grant(
    *,
    actor: Actor,
    on: HasAccessTarget | AccessTarget,
    role: str,
    user: User | None = None,
    team: Team | None = None,
    source: str = GrantSource.MANUAL,
    object_name: str = "",
    from_elsewhere: bool = False,
) -> Grant:
    """Give a user or a team a role on an object; a role that it holds there from the same source is replaced.

    on: an organization, a channel, `replace(channel.access_target, package_name=...)`, or an environment.
    object_name: how the audit is to name the object. from_elsewhere: the team may be another organization's, as the caller has
    found that what it gets to see may be shared with it.
    """
    target = target_of(on)
    require(actor, MEMBERS_PERMISSION[target.level], target)
    organization = Organization.objects.get(pk=target.organization_id)
    require_alive(organization)
    require_not_personal(organization)
    _check(target, role)
    _check_subject(organization, user, team, from_elsewhere=from_elsewhere)
    with transaction.atomic(), keeping_an_owner(organization):
        given, _ = Grant.objects.update_or_create(
            **_object_of(target),
            user=user,
            team=team,
            source=source,
            defaults={"role": role},
            create_defaults={"role": role, "granted_by": actor.user},
        )
        _record(actor, "grant.give", given, object_name)
    return given


def revoke_grant(*, actor: Actor, grant: Grant, object_name: str = "") -> None:
    """Take a role away; people may give up their own."""
    if grant.user_id is None or actor.user_id != grant.user_id or actor.token is not None:
        require(actor, MEMBERS_PERMISSION[grant.access_target.level], grant.access_target)
    with transaction.atomic(), keeping_an_owner(grant.organization):
        _record(actor, "grant.revoke", grant, object_name)
        Grant.objects.filter(pk=grant.pk).delete()


def drop_channel(*, actor: Actor, channel_id: int) -> int:
    """Take away every grant and token limit on a channel that is gone for good; its own service has asked the policy.

    A token that was limited to it alone is left with nothing. Returns the number of grants.
    """
    with transaction.atomic():
        dropped = _drop(actor, "channel", Level.CHANNEL, channel_id)
        TokenLimit.objects.filter(channel_id=channel_id).delete()
    return dropped


def drop_environment(*, actor: Actor, environment_id: int) -> int:
    """The same for an environment."""
    with transaction.atomic():
        return _drop(actor, "environment", Level.ENVIRONMENT, environment_id)


def _drop(actor: Actor, noun: str, level: Level, object_id: int) -> int:
    key = "environment_id" if level is Level.ENVIRONMENT else "channel_id"
    grants = list(Grant.objects.filter(**{key: object_id}))
    if grants:
        record(
            actor=actor,
            action="grant.drop",
            target=f"{noun} {object_id}",
            organization_id=grants[0].organization_id,
            details={"grants": len(grants)},
        )
        Grant.objects.filter(pk__in=[given.pk for given in grants]).delete()
    transaction.on_commit(cache.forget)
    return len(grants)


def _object_of(target: AccessTarget) -> dict[str, int | str | None]:
    return {
        "organization_id": target.organization_id,
        "channel_id": target.channel_id,
        "package_name": target.package_name,
        "environment_id": target.environment_id,
    }


def _check(target: AccessTarget, role: str) -> None:
    if role not in Role.values:
        raise Unprocessable(f"'{role[:40]}' is not a role.", code="invalid_role", hint=f"Use one of: {', '.join(Role.values)}.")
    if target.package_name and PACKAGE_NAME_PATTERN.fullmatch(target.package_name) is None:
        raise Unprocessable(
            "This can't be the name of a package.", code="invalid_name", hint="Use lower-case letters, digits, '.', '_', '-'."
        )


def _check_subject(organization: Organization, user: User | None, team: Team | None, *, from_elsewhere: bool) -> None:
    if (user is None) == (team is None):
        raise Unprocessable("A grant is for one user or one team.", hint="Name either a user or a team.")
    if user is not None:
        require_may_join(user, organization)
    if team is not None and team.organization_id != organization.pk and not from_elsewhere:
        raise Unprocessable("This team belongs to another organization.", code="foreign_team", hint="Name a team of this organization.")


def _record(actor: Actor, action: str, given: Grant, object_name: str) -> None:
    target = given.access_target
    subject = f"user {given.user.username}" if given.user is not None else f"team {given.team}"
    record(
        actor=actor,
        action=action,
        target=object_name or given.organization.name,
        organization_id=given.organization_id,
        details={
            "role": given.role,
            "to": subject,
            "on": target.level.value,
            "channel_id": target.channel_id,
            "package_name": target.package_name,
            "environment_id": target.environment_id,
            "source": given.source,
        },
    )
