"""What holds for all environments of an organization, or of the hub: the settings above an environment's own."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from django.urls import reverse

from condahub.accounts.models import Organization
from condahub.accounts.permissions import HUB
from condahub.accounts.policy import Permission, require
from condahub.errors import HubError
from condahub.portal.organization_frame import found_organization, organization_head
from condahub.portal.page import PortalRequest, done, page, show
from environments_app.portal.forms import PolicyForm
from environments_app.services import policies


@page(methods=("GET", "HEAD", "POST"))
def organization_settings(request: PortalRequest, organization: str) -> HttpResponseBase:
    found = found_organization(request.actor, organization, Permission.ORGANIZATION_UPDATE)
    path = reverse("environments:organization_settings", args=[found.name])
    return _level(request, found, path, organization_head(request, found, "environments"))


@page(methods=("GET", "HEAD", "POST"))
def installation_settings(request: PortalRequest) -> HttpResponseBase:
    require(request.actor, Permission.HUB_OPERATE, HUB)
    return _level(request, None, reverse("environments:installation_settings"), {})


def _level(request: PortalRequest, on: Organization | None, path: str, head: dict[str, Any]) -> HttpResponseBase:
    form = PolicyForm(
        request.POST if request.method == "POST" else None, initial=PolicyForm.values_of(policies.own_values(on)), prefix="policy"
    )
    error: HubError | None = None
    if request.method == "POST" and form.is_valid():
        try:
            policies.change_settings(actor=request.actor, on=on, changes=form.changes())
            return done(request, path, "Saved. The next builds go by it.")
        except HubError as refused:
            error = refused
    return show(request, "environments/level.html", {**head, "policy": form, "organization": on}, error=error)
