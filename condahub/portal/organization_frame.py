"""What all pages of an organization share: who may see it, headline and tabs, also those of the apps above."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from condahub.accounts import selectors
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, can, require
from condahub.errors import NotFound
from condahub.portal import registry
from condahub.portal.page import PortalRequest
from condahub.portal.registry import Tab

OWN_TABS = (
    Tab("overview", gettext_lazy("Overview"), "portal:organization", Permission.ORGANIZATION_READ, 0),
    Tab("members", gettext_lazy("Members"), "portal:organization_members", Permission.MEMBER_READ, 20),
    Tab("teams", gettext_lazy("Teams"), "portal:organization_teams", Permission.MEMBER_READ, 30),
    Tab("robots", gettext_lazy("Robots"), "portal:organization_robots", Permission.TOKEN_READ, 40),
    Tab("access", gettext_lazy("Access"), "portal:organization_access", Permission.ORGANIZATION_AUDIT, 45),
    Tab("webhooks", gettext_lazy("Webhooks"), "portal:webhooks", Permission.ORGANIZATION_AUDIT, 80),
    Tab("activity", gettext_lazy("Activity"), "portal:organization_activity", Permission.ORGANIZATION_AUDIT, 90),
    Tab("settings", gettext_lazy("Settings"), "portal:organization_settings", Permission.ORGANIZATION_AUDIT, 99),
)


def found_organization(actor: Actor, name: str, permission: Permission = Permission.ORGANIZATION_READ) -> Organization:
    """The organization, if the actor has this right on it; else NotFound, for what is hidden as for what is not there."""
    found = selectors.visible_organizations(actor).select_related("personal_of").filter(name=name).first()
    if found is None:
        raise NotFound(
            gettext("There is no such page, or you may not see it."), hint=gettext("Check the address, or search for what you look for.")
        )
    require(actor, permission, found)
    return found


def kept_organization(request: PortalRequest, name: str) -> Organization:
    """The organization, for a page that its owners change and auditors look at."""
    look = request.method in ("GET", "HEAD")
    return found_organization(request.actor, name, Permission.ORGANIZATION_AUDIT if look else Permission.ORGANIZATION_UPDATE)


def organization_head(request: PortalRequest, organization: Organization, tab: str) -> dict[str, Any]:
    """The context of an organization's frame, with the tabs that the actor may open."""
    tabs = sorted((*OWN_TABS, *registry.organization_tabs()), key=lambda one: one.order)
    shown = [
        {"key": one.key, "label": one.label, "path": reverse(one.url_name, args=[organization.name])}
        for one in tabs
        if can(request.actor, one.permission, organization)
    ]
    return {
        "organization": organization,
        "tabs": shown,
        "tab": tab,
        "keeps": can(request.actor, Permission.ORGANIZATION_UPDATE, organization),
    }
