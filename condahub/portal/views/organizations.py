"""Organizations: their parts, members, teams, robot accounts with tokens, audit trail and settings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings as hub_settings
from django.db.models import Q
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext

from condahub.accounts import selectors, services
from condahub.accounts.api import lookups
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import HUB, Permission, Role, can, require
from condahub.api import probing
from condahub.audit import selectors as audit_selectors
from condahub.errors import HubError, Throttled, Unprocessable
from condahub.portal import paging, registry
from condahub.portal.forms import MemberForm, OrganizationForm, OrganizationSettingsForm, RobotForm, TeamForm, TokenForm
from condahub.portal.organization_frame import found_organization, kept_organization, organization_head
from condahub.portal.page import PortalRequest, asked, done, failed, page, person, show
from condahub.portal.views.account import create_from, show_secret, token_rows

MAX_DETAILS_CHARS = 400
_SHA256 = re.compile(r"[0-9a-f]{64}")


@page()
def organization_list(request: PortalRequest) -> HttpResponseBase:
    rows = selectors.visible_organizations(request.actor)
    text = asked(request, "q")
    if text:
        rows = rows.filter(Q(name__icontains=text) | Q(title__icontains=text))
    listed = paging.numbered(request, rows.order_by("name"))
    used = registry.used_bytes([row.pk for row in listed.rows])
    context = {
        "page": listed,
        "rows": [{"organization": row, "used": used.get(row.pk, 0)} for row in listed.rows],
        "q": text,
        "may_create": can(request.actor, Permission.ORGANIZATION_CREATE, HUB),
    }
    return show(request, "portal/organizations/list.html", context)


@page(methods=("GET", "HEAD", "POST"))
def organization_new(request: PortalRequest) -> HttpResponseBase:
    require(request.actor, Permission.ORGANIZATION_CREATE, HUB)
    form = OrganizationForm(request.POST or None)
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            with slow_probing(request):
                made = services.create_organization(actor=request.actor, **form.cleaned_data)
            return done(request, _path(made), gettext("The organization '%(name)s' is there. Add its people next.") % {"name": made.name})
        except HubError as refused:
            error = refused
    return show(request, "portal/organizations/new.html", {"form": form}, error=error)


@page()
def overview(request: PortalRequest, organization: str) -> HttpResponseBase:
    found = found_organization(request.actor, organization)
    made = registry.organization_panels(request.actor, found)
    context = {
        **organization_head(request, found, "overview"),
        "panels": [{"template": panel.template, **values} for panel, values in made],
        "used": registry.used_bytes([found.pk]).get(found.pk, 0),
    }
    return show(request, "portal/organizations/overview.html", context)


@page(methods=("GET", "HEAD", "POST"))
def members(request: PortalRequest, organization: str) -> HttpResponseBase:
    found = found_organization(request.actor, organization, Permission.MEMBER_READ)
    form = MemberForm(request.POST or None)
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            user = selectors.user_for_grant(request.actor, form.cleaned_data["username"], found)
            services.grant(actor=request.actor, on=found, user=user, role=form.cleaned_data["role"], object_name=found.name)
            said = gettext("%(name)s is %(role)s now.") % {"name": user.username, "role": gettext(form.cleaned_data["role"])}
            return done(request, _path(found, "members"), said)
        except HubError as refused:
            error = refused
    grants = selectors.grants_on(request.actor, found)
    may_change = can(request.actor, Permission.ORGANIZATION_MEMBERS, found) and not found.is_personal
    context = {
        **organization_head(request, found, "members"),
        "invitations": list(selectors.invitations_of(request.actor, found)) if may_change else [],
        "team_names": list(selectors.teams_of(request.actor, found).values_list("slug", flat=True)) if may_change else [],
        "roles": Role.choices,
        "sends_mail": hub_settings.CONDAHUB_EMAIL_ENABLED,
        "members": selectors.members_of(request.actor, found),
        "grants": [given for given in grants if given.user_id is not None],
        "form": form,
        "may_change": may_change,
    }
    return show(request, "portal/organizations/members.html", context, error=error)


@page(methods=("POST",))
def grant_revoke(request: PortalRequest, organization: str, number: int) -> HttpResponseBase:
    found = found_organization(request.actor, organization)

    def revoke() -> str:
        given = lookups.grant_of(request.actor, found, number)
        services.revoke_grant(actor=request.actor, grant=given, object_name=found.name)
        named = {"name": given.user or given.team, "role": gettext(given.role)}
        return gettext("%(name)s is not %(role)s by that grant any more.") % named

    return _tried(request, _path(found, "members") if can(request.actor, Permission.MEMBER_READ, found) else "/ui/", revoke)


@page(methods=("GET", "HEAD", "POST"))
def teams(request: PortalRequest, organization: str) -> HttpResponseBase:
    found = found_organization(request.actor, organization, Permission.MEMBER_READ)
    form = TeamForm(request.POST or None)
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            made = services.create_team(actor=request.actor, organization=found, **form.cleaned_data)
            return done(request, _path(found, "teams"), gettext("The team '%(name)s' is there. Add people to it.") % {"name": made.slug})
        except HubError as refused:
            error = refused
    rows = list(selectors.teams_of(request.actor, found).prefetch_related("group__user_set"))
    sources = selectors.outside_sources(rows)
    context = {
        **organization_head(request, found, "teams"),
        "teams": [
            {"team": team, "people": [(user, sources.get((team.pk, user.pk), "")) for user in team.group.user_set.all()]} for team in rows
        ],
        "form": form,
        "may_change": can(request.actor, Permission.ORGANIZATION_MEMBERS, found) and not found.is_personal,
    }
    return show(request, "portal/organizations/teams.html", context, error=error)


@page(methods=("POST",))
def team_change(request: PortalRequest, organization: str, slug: str) -> HttpResponseBase:
    """One of three: a person comes, a person goes, the team goes."""
    found = found_organization(request.actor, organization, Permission.MEMBER_READ)

    def change() -> str:
        team = lookups.team_of(request.actor, found, slug)
        verb, name = request.POST.get("verb", ""), request.POST.get("username", "").strip()
        if verb == "delete":
            services.delete_team(actor=request.actor, team=team)
            return gettext("The team '%(name)s' is gone; its people stay.") % {"name": slug}
        if verb == "add":
            services.add_member(actor=request.actor, team=team, user=selectors.user_for_grant(request.actor, name, found))
            return gettext("%(name)s is in the team '%(team)s' now.") % {"name": name, "team": slug}
        if verb == "remove":
            services.remove_member(actor=request.actor, team=team, user=lookups.member_of(request.actor, found, name))
            return gettext("%(name)s is not in the team '%(team)s' any more.") % {"name": name, "team": slug}
        raise Unprocessable(gettext("Nothing was chosen."))

    return _tried(request, _path(found, "teams"), change)


@page(methods=("GET", "HEAD", "POST"))
def robots(request: PortalRequest, organization: str) -> HttpResponseBase:
    found = found_organization(request.actor, organization, Permission.TOKEN_READ)
    form = RobotForm(request.POST or None)
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            made = services.create_robot(actor=request.actor, organization=found, name=form.cleaned_data["name"])
            said = gettext("'%(name)s' is there. Give it a role under Members, and a token.") % {"name": made.username}
            return done(request, _path(found, "robots"), said)
        except HubError as refused:
            error = refused
    accounts = list(selectors.robots_of(request.actor, found).order_by("username")[:200])
    tokens = selectors.visible_tokens(request.actor).filter(owner__in=accounts, revoked_at__isnull=True)[:500]
    by_owner: dict[int, list[dict[str, Any]]] = {}
    rows = list(tokens)
    for row, token in zip(token_rows(rows), rows, strict=True):
        by_owner.setdefault(token.owner_id, []).append(row)
    context = {
        **organization_head(request, found, "robots"),
        "robots": [{"robot": robot, "short": robot.username.partition("+")[2], "tokens": by_owner.get(robot.pk, [])} for robot in accounts],
        "form": form,
        "may_change": can(request.actor, Permission.TOKEN_CREATE, found),
        "back": _path(found, "robots"),
    }
    return show(request, "portal/organizations/robots.html", context, error=error)


@page(methods=("GET", "HEAD", "POST"))
def robot_token(request: PortalRequest, organization: str, robot: str) -> HttpResponseBase:
    found = found_organization(request.actor, organization, Permission.TOKEN_CREATE)
    owner = lookups.robot_of(request.actor, found, robot)
    form = TokenForm(request.POST or None)
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            made = create_from(request, form, owner=owner)
            return show_secret(request, made, form.cleaned_data["channel"].strip(), back=_path(found, "robots"))
        except HubError as refused:
            error = refused
    context = {**organization_head(request, found, "robots"), "form": form, "robot": owner, "back": _path(found, "robots")}
    return show(request, "portal/account/token_new.html", context, error=error)


@page(methods=("POST",))
def robot_deactivate(request: PortalRequest, organization: str, robot: str) -> HttpResponseBase:
    found = found_organization(request.actor, organization, Permission.TOKEN_REVOKE)

    def deactivate() -> str:
        account: User = lookups.robot_of(request.actor, found, robot)
        services.deactivate_user(actor=request.actor, user=account)
        return gettext("'%(name)s' is deactivated, and all its tokens are revoked.") % {"name": account.username}

    return _tried(request, _path(found, "robots"), deactivate)


@page()
def activity(request: PortalRequest, organization: str) -> HttpResponseBase:
    found = found_organization(request.actor, organization, Permission.ORGANIZATION_AUDIT)
    rows = audit_selectors.events_of(request.actor, found)
    filters = {name: asked(request, name) for name in ("action", "actor")}
    if filters["action"]:
        rows = rows.filter(action__startswith=filters["action"])
    if filters["actor"]:
        rows = rows.filter(actor_label=filters["actor"])
    context = {**organization_head(request, found, "activity"), "page": events_page(request, rows), **filters}
    return show(request, "portal/organizations/activity.html", context)


@page(methods=("GET", "HEAD", "POST"))
def settings(request: PortalRequest, organization: str) -> HttpResponseBase:
    found = kept_organization(request, organization)
    form = OrganizationSettingsForm(request.POST or None, initial={"title": found.title, "description": found.description})
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            services.update_organization(actor=request.actor, organization=found, **form.cleaned_data)
            return done(request, _path(found, "settings"), gettext("Saved."))
        except HubError as refused:
            error = refused
    return show(request, "portal/organizations/settings.html", {**organization_head(request, found, "settings"), "form": form}, error=error)


def events_page(request: PortalRequest, rows: Any) -> dict[str, Any]:
    """Audit events as rows of a table, their details as one line."""
    listed = paging.stretch(request, rows, "id")
    shown = [{"event": event, "details": _details(event.details)} for event in listed.rows]
    return {"rows": shown, "older": listed.older, "newest": listed.newest}


def _details(details: dict[str, Any]) -> str:
    told = [(key, value) for key, value in details.items() if value not in (None, "", [], {})]
    text = ", ".join(f"{key} {_shown(value)}" for key, value in told)
    return text if len(text) <= MAX_DETAILS_CHARS else f"{text[:MAX_DETAILS_CHARS]}…"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value[:12] if _SHA256.fullmatch(value) else value
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)


class slow_probing:
    """Around what takes a new name: who tries names one after the other to learn which are taken has to wait."""

    def __init__(self, request: PortalRequest) -> None:
        self._key = probing.key_of(request.actor.user_id, request.META)

    def __enter__(self) -> None:
        if probing.is_spent(self._key):
            raise Throttled(gettext("Too many names were not available."), hint=gettext("Wait ten minutes, then try again."))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, HubError) and error.code == probing.PROBED_CODE:
            probing.count(self._key)


def _path(organization: Organization, part: str = "") -> str:
    path = reverse("portal:organization", args=[organization.name])
    return f"{path}/{part}" if part else path


def _tried(request: PortalRequest, path: str, change: Callable[[], str]) -> HttpResponseBase:
    """Do it and go back, with the sentence of what was done or why it was not."""
    person(request)
    try:
        return done(request, path, change())
    except HubError as error:
        return failed(request, path, error)
