"""Who may read a channel and why, today and at the end of a day: for owners and auditors."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase

from channels_app.portal.frame import channel_for, head
from channels_app.readers import readers_of
from condahub.accounts.policy import Permission, require
from condahub.errors import HubError
from condahub.portal.days import chosen_day
from condahub.portal.page import PortalRequest, asked, page, show


@page()
def readers(request: PortalRequest, channel: str) -> HttpResponseBase:
    found = channel_for(request, channel)
    require(request.actor, Permission.ORGANIZATION_AUDIT, found.organization)
    context: dict[str, Any] = {**head(request, found, "members"), "on": asked(request, "on", 10)}
    try:
        context["on"], moment = chosen_day(request)
        context["readers"] = readers_of(request.actor, found, moment)
    except HubError as error:
        return show(request, "channels/readers.html", context, error=error)
    return show(request, "channels/readers.html", context)
