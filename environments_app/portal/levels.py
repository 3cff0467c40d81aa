"""What holds for all environments of an organization, or of the hub: the settings above an environment's own."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext

from condahub.accounts.models import Organization
from condahub.accounts.permissions import HUB
from condahub.accounts.policy import Permission, can, reads_all, require
from condahub.errors import HubError
from condahub.portal.organization_frame import kept_organization, organization_head
from condahub.portal.page import PortalRequest, done, page, show
from environments_app.portal.forms import PolicyForm
from environments_app.services import policies


@page(methods=("GET", "HEAD", "POST"))
def organization_settings(request: PortalRequest, organization: str) -> HttpResponseBase:
    found = kept_organization(request, organization)
    path = reverse("environments:organization_settings", args=[found.name])
    return _level(request, found, path, organization_head(request, found, "environments"))


@page(methods=("GET", "HEAD", "POST"))
def installation_settings(request: PortalRequest) -> HttpResponseBase:
    if request.method == "POST" or not reads_all(request.actor):
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
            return done(request, path, gettext("Saved. The next builds go by it."))
        except HubError as refused:
            error = refused
    keeps = can(request.actor, Permission.HUB_OPERATE, HUB) if on is None else can(request.actor, Permission.ORGANIZATION_UPDATE, on)
    told = {} if keeps else {name.replace("_", " "): _in_a_line(value) for name, value in sorted(policies.own_values(on).items())}
    return show(request, "environments/level.html", {**head, "policy": form, "organization": on, "keeps": keeps, "told": told}, error=error)


def _in_a_line(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
