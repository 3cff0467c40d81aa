"""Pages of one environment: what everybody gets, its builds, packages, specification, artifacts, settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings as hub_settings
from django.db.models import Q, QuerySet
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from condahub.accounts import selectors as accounts
from condahub.accounts.policy import Permission, can, reads_all, require
from condahub.audit import selectors as audit_selectors
from condahub.errors import HubError, Unprocessable
from condahub.portal import paging
from condahub.portal.forms import told_of
from condahub.portal.page import PortalRequest, asked, done, failed, page, person, show
from condahub.portal.views.organizations import events_page
from environments_app import selectors
from environments_app.models import Build, BuildPackage, BuildState, Environment, EnvironmentSchedule, Rebuild
from environments_app.portal import lines, words
from environments_app.portal.forms import VISIBILITIES, EnvironmentForm, GrantForm, PolicyForm
from environments_app.portal.frame import environment_for, head, path_of
from environments_app.services import environments as services
from environments_app.services import members as roles
from environments_app.services import policies

RECENT_BUILDS = 5
PACKAGE_COLUMNS = {
    "name": (gettext_lazy("Package"), ["name", "platform", "pk"]),
    "size": (gettext_lazy("Size"), ["size", "name", "platform", "pk"]),
}


@page(anonymous=True)
def environment(request: PortalRequest, organization: str, environment: str) -> HttpResponseBase:
    """The state in a sentence, the current build, the lines to have it, the last builds."""
    found = environment_for(request, organization, environment)
    frame = head(request, found, "overview")
    current: Build | None = frame["current"]
    recent = Build.objects.visible_to(request.actor).filter(environment=found).order_by("-number")[:RECENT_BUILDS]
    context = {
        **frame,
        "rows": _build_rows(list(recent)),
        "paste": lines.use(found) if current is not None else None,
        "channels": [row.name for row in current.made_of.all()] if current is not None else [],
        "schedule": EnvironmentSchedule.objects.filter(environment=found).exclude(mode=Rebuild.NEVER).first(),
        "may_roll_back": frame["may_change"] and current is not None and current.number > 1,
    }
    return show(request, "environments/environment.html", context)


@page(anonymous=True)
def builds(request: PortalRequest, organization: str, environment: str) -> HttpResponseBase:
    """All builds, the newest first; two of them can be compared."""
    found = environment_for(request, organization, environment, Permission.BUILD_READ)
    frame = head(request, found, "builds")
    listing = paging.stretch(request, Build.objects.visible_to(request.actor).filter(environment=found), "number")
    completed = [build for build in listing.rows if build.state == BuildState.COMPLETED]
    context = {
        **frame,
        "page": listing,
        "rows": _build_rows(listing.rows),
        "most_seconds": max((words.duration(build) or 0 for build in listing.rows), default=0) or 1,
        "after": completed[0].number if completed else 0,
        "before": completed[1].number if len(completed) > 1 else 0,
    }
    return show(request, "environments/builds.html", context)


def _build_rows(rows: list[Build]) -> list[dict[str, Any]]:
    return [{"build": build, "look": words.look(build.state), "seconds": words.duration(build)} for build in rows]


@page(anonymous=True)
def packages(request: PortalRequest, organization: str, environment: str) -> HttpResponseBase:
    """What the current build is made of."""
    found = environment_for(request, organization, environment, Permission.BUILD_READ)
    frame = head(request, found, "packages")
    context = {**frame, **packages_of(request, frame["current"])}
    return show(request, "environments/packages.html", context)


def packages_of(request: PortalRequest, build: Build | None) -> dict[str, Any]:
    """A page of a build's packages, filtered and sorted as the address says; the platform that is shown, and all there are."""
    platforms = sorted(build.request.get("platforms", [])) if build is not None else []
    wanted, text = asked(request, "platform"), asked(request, "q")
    platform = wanted if wanted in platforms else platforms[0] if platforms else ""
    rows: QuerySet[BuildPackage] = BuildPackage.objects.none()
    if build is not None:
        rows = selectors.packages_of(build).filter(platform=platform)
    if text:
        rows = rows.filter(Q(name__icontains=text) | Q(requested__icontains=text))
    columns, order = paging.sorting(request, PACKAGE_COLUMNS, "name")
    # What somebody asked for by its line is what he looks for.
    return {
        "page": paging.numbered(request, rows.order_by(*order)),
        "columns": columns,
        "platforms": platforms,
        "platform": platform,
        "q": text,
    }


@page(anonymous=True)
def spec(request: PortalRequest, organization: str, environment: str) -> HttpResponseBase:
    """What the current build was asked for with, else what the newest was."""
    found = environment_for(request, organization, environment, Permission.BUILD_READ)
    frame = head(request, found, "spec")
    build: Build | None = frame["current"] or frame["newest"]
    return show(request, "environments/spec.html", {**frame, "build": build, "request_values": build.request if build else {}})


@page(anonymous=True)
def artifacts(request: PortalRequest, organization: str, environment: str) -> HttpResponseBase:
    found = environment_for(request, organization, environment, Permission.BUILD_READ)
    frame = head(request, found, "artifacts")
    current: Build | None = frame["current"]
    rows = lines.artifact_rows(request.actor, current) if current is not None else []
    waits = any(row["one"].state == "wanted" for row in rows)
    return show(request, "environments/artifacts.html", {**frame, "build": current, "artifacts": rows, "waits": waits})


@page(methods=("GET", "HEAD", "POST"))
def members(request: PortalRequest, organization: str, environment: str) -> HttpResponseBase:
    """Everybody who may do something, and by what; roles on this environment alone are given and taken here."""
    found = environment_for(request, organization, environment, Permission.MEMBER_READ)
    form = GrantForm(request.POST or None)
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            given = roles.give_role(actor=request.actor, environment=found, **form.asked())
            said = gettext("%(who)s is %(role)s now.") % {"who": given.user or given.team, "role": gettext(given.role)}
            return done(request, path_of(found, "members"), said)
        except HubError as refused:
            error = refused
    context = {
        **head(request, found, "members"),
        "members": accounts.members_of(request.actor, found),
        "grants": list(roles.members_of(actor=request.actor, environment=found)),
        "form": form,
        "may_change_members": can(request.actor, Permission.ENVIRONMENT_MEMBERS, found) and not found.organization.is_personal,
    }
    return show(request, "environments/members.html", context, error=error)


@page(methods=("POST",))
def revoke(request: PortalRequest, organization: str, environment: str, number: int) -> HttpResponseBase:
    person(request)
    found = environment_for(request, organization, environment, Permission.MEMBER_READ)
    try:
        roles.take_role(actor=request.actor, environment=found, number=number)
    except HubError as error:
        return failed(request, path_of(found, "members"), error)
    return done(request, path_of(found, "members"), gettext("The role is taken away."))


@page()
def activity(request: PortalRequest, organization: str, environment: str) -> HttpResponseBase:
    found = environment_for(request, organization, environment)
    require(request.actor, Permission.ORGANIZATION_AUDIT, found.organization)
    events = audit_selectors.events_of(request.actor, found.organization)
    rows = events.filter(Q(target=f"environment:{found}") | Q(target__startswith=f"build:{found}@"))
    return show(request, "environments/activity.html", {**head(request, found, "activity"), "page": events_page(request, rows)})


@page(methods=("GET", "HEAD", "POST"))
def settings(request: PortalRequest, organization: str, environment: str) -> HttpResponseBase:
    """What it is for, who may use it, and what is allowed in it."""
    looks = request.method in ("GET", "HEAD") and reads_all(request.actor)
    found = environment_for(request, organization, environment, Permission.ENVIRONMENT_READ if looks else Permission.ENVIRONMENT_UPDATE)
    is_policy = request.POST.get("which") == "policy"
    about = request.POST if request.method == "POST" and not is_policy else None
    form = EnvironmentForm(about, initial={"description": found.description, "visibility": found.visibility})
    policy = PolicyForm(request.POST if is_policy else None, initial=PolicyForm.values_of(policies.own_values(found)), prefix="policy")
    error = None
    if request.method == "POST" and (policy if is_policy else form).is_valid():
        try:
            if is_policy:
                policies.change_settings(actor=request.actor, on=found, changes=policy.changes())
            else:
                # What is as it was is not asked for: else a rule on a visibility would stop every other change.
                changes = {name: value for name, value in form.cleaned_data.items() if value != getattr(found, name)}
                services.update_environment(actor=request.actor, environment=found, changes=changes)
            return done(
                request, path_of(found, "settings"), gettext("Saved. The next build goes by it.") if is_policy else gettext("Saved.")
            )
        except HubError as refused:
            error = refused
    allowed = {
        "public": hub_settings.CONDAHUB_ALLOW_PUBLIC_CHANNELS,
        "internal": hub_settings.CONDAHUB_ALLOW_INTERNAL_CHANNELS,
        "private": True,
    }
    frame = head(request, found, "settings")
    context = {
        **frame,
        "told": [] if frame["may_change"] else told_of(form, policy),
        "form": form,
        "policy": policy,
        "choices": [choice for choice in VISIBILITIES if allowed[choice[0]] or choice[0] == found.visibility],
        "may_publish": can(request.actor, Permission.ENVIRONMENT_PUBLISH, found),
    }
    return show(request, "environments/settings.html", context, error=error)


@page(methods=("POST",))
def act(request: PortalRequest, organization: str, environment: str) -> HttpResponseBase:
    """Roll back, archive, bring back, delete."""
    verb = request.POST.get("verb", "")
    permission = Permission.ENVIRONMENT_DELETE if verb == "delete" else Permission.ENVIRONMENT_UPDATE
    found = environment_for(request, organization, environment, permission)
    try:
        if verb == "delete":
            _delete(request, found)
            return done(
                request, reverse("environments:list"), gettext("'%(environment)s' is deleted with its builds.") % {"environment": found}
            )
        return done(request, path_of(found), _do(request, found, verb))
    except HubError as error:
        return failed(request, path_of(found, "settings" if verb == "delete" else "environment"), error)


def _do(request: PortalRequest, found: Environment, verb: str) -> str:
    if verb == "rollback":
        rolled = services.roll_back(actor=request.actor, environment=found)
        number = rolled.current_build.number if rolled.current_build is not None else 0
        return gettext("Rolled back: build %(number)s is what everybody gets now.") % {"number": number}
    if verb == "archive":
        services.archive_environment(actor=request.actor, environment=found)
        return gettext("Archived: it stays readable, and takes no new builds.")
    if verb == "unarchive":
        services.unarchive_environment(actor=request.actor, environment=found)
        return gettext("It is back, and takes new builds.")
    raise HubError(gettext("Nothing was chosen."), code="no_verb", hint=gettext("Go back and try again."))


def _delete(request: PortalRequest, found: Environment) -> None:
    if request.POST.get("name", "").strip() != found.name:
        raise Unprocessable(gettext("The name does not match."), hint=gettext("Type the environment's name to delete it."))
    services.delete_environment(actor=request.actor, environment=found)
