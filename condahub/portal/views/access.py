"""What somebody may do in an organization and why, today and at the end of a day: for owners and auditors."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase

from condahub.accounts import access, places
from condahub.accounts.access import Held
from condahub.accounts.models import GrantSource
from condahub.accounts.permissions import Level, Permission
from condahub.errors import HubError
from condahub.portal.days import chosen_day
from condahub.portal.organization_frame import found_organization, organization_head
from condahub.portal.page import PortalRequest, asked, page, show

MAX_PEOPLE = 500
SOURCES = {**dict(GrantSource.choices), "personal": "The person whose organization it is"}


@page()
def access_of_person(request: PortalRequest, organization: str) -> HttpResponseBase:
    """Everybody with a role; of one that was chosen, each role, what it allows, and by what it is held."""
    found = found_organization(request.actor, organization, Permission.ORGANIZATION_AUDIT)
    username = asked(request, "person", 150)
    context: dict[str, Any] = {**organization_head(request, found, "access"), "person": username, "on": asked(request, "on", 10)}
    try:
        context["on"], moment = chosen_day(request)
        roles = access.roles_of(request.actor, found, moment)
    except HubError as error:
        return show(request, "portal/organizations/access.html", context, error=error)
    people = roles.people() | ({found.personal_of.username} if found.personal_of is not None else set())
    held = access.held_by(roles, found, username) if username else []
    context |= {
        "people": sorted(people)[:MAX_PEOPLE],
        "left_out": len(people) - MAX_PEOPLE,
        "rows": _rows(held),
        "is_closed": bool(held) and username in access.closed_accounts([username], moment),
    }
    return show(request, "portal/organizations/access.html", context)


def _rows(held: list[Held]) -> list[dict[str, Any]]:
    channels = places.names_of(places.CHANNEL, [one.channel_id for one in held])
    environments = places.names_of(places.ENVIRONMENT, [one.environment_id for one in held])
    rows = []
    for one in held:
        where = "everything in this organization"
        if one.level is Level.ENVIRONMENT:
            where = f"the environment {environments.get(one.environment_id or 0, 'that is gone since')}"
        elif one.channel_id is not None:
            where = f"the channel {channels.get(one.channel_id, 'that is gone since')}"
        if one.package_name:
            where = f"the package {one.package_name} in {where}"
        why = f"by the team {one.team}" if one.team else SOURCES.get(one.source, one.source)
        rows.append({"role": one.role, "where": where, "why": why, "permissions": sorted(one.permissions)})
    return rows
