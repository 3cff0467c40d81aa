"""What somebody may do in an organization and why, today and at the end of a day: for owners and auditors."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from django.utils.translation import gettext, gettext_lazy

from condahub.accounts import access, places
from condahub.accounts.access import Held
from condahub.accounts.models import GrantSource
from condahub.accounts.permissions import Level, Permission
from condahub.errors import HubError
from condahub.portal.days import chosen_day
from condahub.portal.organization_frame import found_organization, organization_head
from condahub.portal.page import PortalRequest, asked, page, show

MAX_PEOPLE = 500
SOURCES = {
    **dict(GrantSource.choices),
    GrantSource.MANUAL.value: gettext_lazy("By hand"),
    "personal": gettext_lazy("The person whose organization it is"),
}


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
        where = _where(one, channels, environments)
        why = gettext("by the team %(team)s") % {"team": one.team} if one.team else SOURCES.get(one.source, one.source)
        rows.append({"role": one.role, "where": where, "why": why, "permissions": sorted(one.permissions)})
    return rows


def _where(one: Held, channels: dict[int, str], environments: dict[int, str]) -> str:
    if one.level is Level.ENVIRONMENT:
        name = environments.get(one.environment_id or 0)
        return gettext("the environment %(name)s") % {"name": name} if name else gettext("the environment that is gone since")
    if one.channel_id is None:
        return gettext("everything in this organization")
    named = {"package": one.package_name, "channel": channels.get(one.channel_id)}
    if one.package_name:
        if named["channel"]:
            return gettext("the package %(package)s in the channel %(channel)s") % named
        return gettext("the package %(package)s in the channel that is gone since") % named
    return gettext("the channel %(channel)s") % named if named["channel"] else gettext("the channel that is gone since")
