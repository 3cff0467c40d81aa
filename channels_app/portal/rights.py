"""Who may do what on a channel, and what was done."""

from __future__ import annotations

from django.db.models import Q
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _

from channels_app.portal.frame import channel_for, head
from channels_app.readers import ROLES
from condahub.accounts import selectors, services
from condahub.accounts.models import Grant
from condahub.accounts.policy import Permission, can, require
from condahub.audit import selectors as audit_selectors
from condahub.errors import HubError, NotFound
from condahub.portal.forms import MemberForm
from condahub.portal.page import PortalRequest, done, failed, page, person, show
from condahub.portal.views.organizations import events_page


@page(methods=("GET", "HEAD", "POST"))
def members(request: PortalRequest, channel: str) -> HttpResponseBase:
    """Everybody who may do something, and by what; roles on this channel alone are given and taken here."""
    found = channel_for(request, channel, Permission.MEMBER_READ)
    form = MemberForm(request.POST or None)
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            user = selectors.user_for_grant(request.actor, form.cleaned_data["username"], found)
            services.grant(actor=request.actor, on=found, user=user, role=form.cleaned_data["role"], object_name=f"channel:{found.name}")
            said = _("%(who)s is %(role)s now.") % {"who": user.username, "role": ROLES[form.cleaned_data["role"]]}
            return done(request, reverse("channels:members", args=[found.name]), said)
        except HubError as refused:
            error = refused
    context = {
        **head(request, found, "members"),
        "members": selectors.members_of(request.actor, found),
        "grants": list(selectors.grants_on(request.actor, found)),
        "form": form,
        "may_audit": can(request.actor, Permission.ORGANIZATION_AUDIT, found.organization),
        "may_change": can(request.actor, Permission.CHANNEL_MEMBERS, found) and not found.organization.is_personal,
    }
    return show(request, "channels/members.html", context, error=error)


@page(methods=("POST",))
def revoke(request: PortalRequest, channel: str, number: int) -> HttpResponseBase:
    person(request)
    found = channel_for(request, channel, Permission.MEMBER_READ)
    path = reverse("channels:members", args=[found.name])
    try:
        given = Grant.objects.select_related("organization", "user", "team").filter(pk=number, channel_id=found.pk).first()
        if given is None:
            raise NotFound(_("There is no such grant on this channel."))
        services.revoke_grant(actor=request.actor, grant=given, object_name=f"channel:{found.name}")
    except HubError as error:
        return failed(request, path, error)
    return done(request, path, _("%(who)s has lost this role.") % {"who": given.user or given.team})


@page()
def activity(request: PortalRequest, channel: str) -> HttpResponseBase:
    found = channel_for(request, channel)
    require(request.actor, Permission.ORGANIZATION_AUDIT, found.organization)
    own = f"channel:{found.name}"
    rows = audit_selectors.events_of(request.actor, found.organization).filter(Q(target=own) | Q(target__startswith=f"{own}/"))
    return show(request, "channels/activity.html", {**head(request, found, "activity"), "page": events_page(request, rows)})
