"""What the portal itself brings to its registry: the entries and panels that stand on accounts and jobs alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from condahub.accounts import selectors
from condahub.accounts.models import ApiToken
from condahub.accounts.policy import Actor
from condahub.portal import registry
from condahub.portal.registry import Found, NavigationEntry, Panel

EXPIRING_DAYS = 14
MAX_ORGANIZATIONS = 6


def register() -> None:
    """Called once, when the app is ready."""
    registry.register_navigation(NavigationEntry(gettext_lazy("Dashboard"), "layout-dashboard", "/ui/", 0))
    registry.register_navigation(NavigationEntry(gettext_lazy("Organizations"), "building", "/ui/organizations", 80))
    registry.register_navigation(NavigationEntry(gettext_lazy("Jobs"), "activity", "/ui/jobs", 90))
    registry.register_panel(Panel("portal/panels/attention.html", _attention, 10))
    registry.register_panel(Panel("portal/panels/organizations.html", _organizations, 40, aside=True))
    registry.register_search(_search, order=90)
    registry.register_audit_link("organization:", lambda target: "")


def _attention(actor: Actor) -> dict[str, Any] | None:
    soon = timezone.now() + timedelta(days=EXPIRING_DAYS)
    tokens = ApiToken.objects.filter(owner=actor.user, revoked_at__isnull=True, expires_at__lte=soon, expires_at__gt=timezone.now())
    # A token of an hour is meant to end; one of months that ends next week is news.
    expiring = [token for token in tokens[:20] if token.expires_at and token.expires_at - token.created_at > timedelta(days=1)]
    return {"expiring": expiring[:5]}


def _organizations(actor: Actor) -> dict[str, Any] | None:
    rows = list(selectors.visible_organizations(actor).select_related("personal_of")[: MAX_ORGANIZATIONS + 1])
    used = registry.used_bytes([row.pk for row in rows[:MAX_ORGANIZATIONS]])
    return {
        "rows": [{"organization": row, "used": used.get(row.pk, 0)} for row in rows[:MAX_ORGANIZATIONS]],
        "more": len(rows) > MAX_ORGANIZATIONS,
    }


def _search(actor: Actor, text: str, limit: int) -> list[Found]:
    if actor.is_anonymous:
        return []
    rows = selectors.visible_organizations(actor).filter(name__icontains=text)[:limit]
    return [
        Found(row.name, reverse("portal:organization", args=[row.name]), "building", gettext("Organization"), row.title) for row in rows
    ]
