"""What environments bring to the portal: an entry at the left, panels, what search finds, links of the audit."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from condahub.accounts.policy import Actor, Permission
from condahub.portal import registry
from condahub.portal.registry import Found, NavigationEntry, OrganizationPanel, Panel, Tab
from environments_app.models import Environment
from environments_app.portal import lists
from environments_app.services import usage


def register() -> None:
    """Called once, when the app is ready."""
    registry.register_navigation(NavigationEntry(gettext_lazy("Environments"), "notebook", "/ui/environments", 20, anonymous=True))
    registry.register_panel(Panel("environments/panels/mine.html", lists.my_environments, 25))
    registry.register_organization_tab(
        Tab("environments", gettext_lazy("Environments"), "environments:organization", Permission.ORGANIZATION_READ, 10)
    )
    registry.register_organization_panel(OrganizationPanel("environments/panels/organization.html", lists.organization_panel, 20))
    registry.register_search(search, order=20)
    registry.register_usage(usage.usage_rows)
    registry.register_audit_link("environment:", audit_link)
    registry.register_audit_link("build:", build_link)


def search(actor: Actor, text: str, limit: int) -> Sequence[Found]:
    """Environments by name, then by what they say of themselves."""
    visible = Environment.objects.visible_to(actor).select_related("organization")
    rows = visible.filter(Q(name__icontains=text) | Q(description__icontains=text)).order_by("name", "organization__name")[:limit]
    return [
        Found(
            str(row),
            reverse("environments:environment", args=[row.organization.name, row.name]),
            "notebook",
            gettext("Environment"),
            row.description,
        )
        for row in rows
    ]


def audit_link(target: str) -> str:
    """`environment:acme/tools`."""
    organization, slash, name = target.removeprefix("environment:").partition("/")
    return reverse("environments:environment", args=[organization, name]) if slash and name and "/" not in name else ""


def build_link(target: str) -> str:
    """`build:acme/tools@3`."""
    path, _, number = target.removeprefix("build:").partition("@")
    organization, slash, name = path.partition("/")
    return reverse("environments:build", args=[organization, name, int(number)]) if slash and name and number.isdigit() else ""
