"""Inviting people by e-mail, and the page to which the mail leads."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext

from condahub.accounts import selectors, services
from condahub.accounts.api import lookups
from condahub.accounts.models import Invitation
from condahub.accounts.policy import Permission
from condahub.accounts.services.invitations import has_address, invitation_gone
from condahub.errors import HubError, NotFound
from condahub.portal.forms import InvitationForm
from condahub.portal.organization_frame import found_organization
from condahub.portal.page import PortalRequest, done, failed, page, person, show

SESSION_KEY = "invitation"


@page(methods=("POST",))
def invite(request: PortalRequest, organization: str) -> HttpResponseBase:
    found = found_organization(request.actor, organization, Permission.ORGANIZATION_MEMBERS)
    path = reverse("portal:organization_members", args=[found.name])
    form = InvitationForm(request.POST)
    if not form.is_valid():
        return failed(
            request, path, HubError(gettext("An address and what it is offered are needed."), hint=gettext("Nobody was invited."))
        )
    kind, _, name = form.cleaned_data["gives"].partition(":")
    try:
        team = lookups.team_of(request.actor, found, name) if kind == "team" else None
        role = name if kind == "role" else ""
        made = services.invite(actor=request.actor, organization=found, email=form.cleaned_data["email"], role=role, team=team)
    except HubError as error:
        return failed(request, path, error)
    return done(request, path, gettext("%(address)s is invited: the mail is on its way.") % {"address": made.email})


@page(methods=("POST",))
def revoke(request: PortalRequest, organization: str, number: int) -> HttpResponseBase:
    found = found_organization(request.actor, organization, Permission.ORGANIZATION_MEMBERS)
    path = reverse("portal:organization_members", args=[found.name])
    try:
        sent = selectors.invitations_of(request.actor, found).filter(pk=number).first()
        if sent is None:
            raise NotFound(gettext("There is no such invitation."), hint=gettext("It was accepted, taken back or is too old."))
        services.revoke_invitation(actor=request.actor, invitation=sent)
    except HubError as error:
        return failed(request, path, error)
    return done(request, path, gettext("The invitation of %(address)s is taken back.") % {"address": sent.email})


@page(anonymous=True)
def opened(request: PortalRequest, key: str) -> HttpResponseBase:
    """The mail's link. The key goes into the session at once: no page's address and no way back from signing in has it."""
    services.invitation_of(key)
    request.session[SESSION_KEY] = key
    return done(request, reverse("portal:invitation"))


@page(anonymous=True, methods=("GET", "HEAD", "POST"))
def invitation(request: PortalRequest) -> HttpResponseBase:
    """Who invites to what; signing in or up first, then accepting."""
    key = str(request.session.get(SESSION_KEY, ""))
    if request.method == "POST":
        person(request)
        if not key:
            raise invitation_gone()
        found = services.accept(actor=request.actor, key=key)
        del request.session[SESSION_KEY]
        return done(request, reverse("portal:organization", args=[found.organization.name]), _welcome(found))
    found = services.invitation_of(key)
    user = request.actor.user
    context = {
        "invitation": found,
        "inviter": found.invited_by.shown_name,
        "fits": user is not None and has_address(user, found.email),
        "sign_up": settings.CONDAHUB_SIGNUP and settings.CONDAHUB_LOCAL_ACCOUNTS,
    }
    return show(request, "portal/invitation.html", context)


def _welcome(found: Invitation) -> str:
    named = {"organization": found.organization.name, "team": found.team.slug if found.team is not None else ""}
    if found.team is not None:
        return gettext("You are in the team %(team)s of %(organization)s now.") % named
    return gettext("You are in %(organization)s now.") % named
