"""Lists of environments: all that one may see, those of an organization, those that hold a package."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.db.models import F, Q
from django.http import HttpResponseBase

from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, can
from condahub.errors import HubError
from condahub.portal import paging
from condahub.portal.organization_frame import found_organization, organization_head
from condahub.portal.page import PortalRequest, asked, page, show
from environments_app import selectors
from environments_app.affected import affected
from environments_app.models import Environment
from environments_app.portal import reads

MINE_SHOWN = 6
_ADVISORY = re.compile(r"[A-Za-z]{2,10}-[0-9A-Za-z]+-[0-9A-Za-z-]+$")
OF_AN_ORGANIZATION = 20


@page(anonymous=True)
def environment_list(request: PortalRequest) -> HttpResponseBase:
    """All that the reader may see, as a tree: by organization, then by name."""
    text, organization = asked(request, "q"), asked(request, "organization")
    rows = Environment.objects.visible_to(request.actor)
    if text:
        rows = rows.filter(Q(name__icontains=text) | Q(description__icontains=text) | Q(organization__name__icontains=text))
    if organization:
        rows = rows.filter(organization__name=organization)
    return show(request, "environments/list.html", {**_listed(request, rows), "q": text, "filtered": bool(text or organization)})


@page()
def of_organization(request: PortalRequest, organization: str) -> HttpResponseBase:
    found = found_organization(request.actor, organization)
    rows = Environment.objects.visible_to(request.actor).filter(organization=found)
    context = {
        **organization_head(request, found, "environments"),
        **_listed(request, rows),
        "may_create": can(request.actor, Permission.ENVIRONMENT_CREATE, found),
        "may_set": can(request.actor, Permission.ORGANIZATION_UPDATE, found),
    }
    return show(request, "environments/organization.html", context)


def _listed(request: PortalRequest, rows: Any) -> dict[str, Any]:
    ordered = reads.with_builds(request.actor, rows).order_by("organization__name", "name")
    listing = paging.numbered(request, ordered)
    may_create = bool(request.actor.roles()) or request.actor.has_staff_power
    return {"page": listing, "rows": reads.rows_of(listing.rows), "may_create": may_create}


@page(anonymous=True)
def holding(request: PortalRequest) -> HttpResponseBase:
    """Which environments hold a package, by a MatchSpec, or what a loaded advisory is about, by its number."""
    text, everywhere = asked(request, "q", 500), request.GET.get("all") == "1"
    listing, error = None, None
    if text:
        try:
            look = affected if _ADVISORY.match(text) else selectors.holding
            found = look(request.actor, text, all_builds=everywhere)
            order = ("build__environment__organization__name", "build__environment__name", "-build__number", "platform", "pk")
            listing = paging.numbered(request, found.order_by(*order))
        except HubError as refused:
            error = refused
    return show(request, "environments/holding.html", {"q": text, "everywhere": everywhere, "page": listing}, error=error)


def my_environments(actor: Actor) -> dict[str, Any] | None:
    """For the dashboard: those whose newest build came last, in one query."""
    newest_first = reads.with_builds(actor, reads.mine(actor)).order_by(F("newest_id").desc(nulls_last=True), "pk")
    rows = list(newest_first[: MINE_SHOWN + 1])
    if not actor.roles():
        return None
    return {"rows": reads.rows_of(rows[:MINE_SHOWN]), "more": len(rows) > MINE_SHOWN, "command": "" if rows else _first_command(actor)}


def _first_command(actor: Actor) -> str:
    """What makes a first environment, ready to be copied: in the personal organization, which is called as its person is."""
    home = actor.user.username.lower() if actor.user is not None and settings.CONDAHUB_PERSONAL_ORGANIZATIONS else "ORGANIZATION"
    return f"condahub env create {home}/analysis -f environment.yml"


def organization_panel(actor: Actor, organization: Organization) -> dict[str, Any]:
    """The environments of an organization, for its page."""
    visible = Environment.objects.visible_to(actor).filter(organization=organization)
    rows = list(reads.with_builds(actor, visible).order_by("name")[: OF_AN_ORGANIZATION + 1])
    return {
        "rows": reads.rows_of(rows[:OF_AN_ORGANIZATION]),
        "more": len(rows) > OF_AN_ORGANIZATION,
        "may_create": can(actor, Permission.ENVIRONMENT_CREATE, organization),
    }
