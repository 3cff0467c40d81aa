"""Pages of channels: the list, a new one, the packages of one, its settings."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings as hub_settings
from django.db.models import Q
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from channels_app import listings
from channels_app.models import Channel
from channels_app.portal import reads, union_packages, words
from channels_app.portal.frame import channel_for, channel_to_look_at, head
from channels_app.services import channels as services
from condahub.accounts import selectors as accounts
from condahub.accounts.models import Organization
from condahub.accounts.permissions import Visibility
from condahub.accounts.policy import Actor, Permission, can
from condahub.errors import HubError, Unprocessable
from condahub.portal import paging
from condahub.portal.forms import HubForm
from condahub.portal.page import PortalRequest, asked, done, failed, page, show
from condahub.portal.views.organizations import slow_probing

MAX_ORGANIZATIONS = 500
CHANNEL_COLUMNS = {
    "name": (_("Channel"), ["name"]),
    "size": (_("Size"), ["used_bytes", "name"]),
    "changed": (_("Changed"), ["changed_at", "name"]),
}
PACKAGE_COLUMNS = {
    "name": (_("Package"), ["name"]),
    "files": (_("Files"), ["files_count", "name"]),
    "updated": (_("Updated"), ["updated_at", "name"]),
}
VISIBILITIES = [
    ("private", _("Private: those who are given access")),
    ("internal", _("Internal: everybody who is signed in")),
    ("public", _("Public: everybody, without signing in")),
]


class NewChannelForm(HubForm):
    organization = forms.CharField(max_length=64, label=_("Owner"), help_text=_("Whose members may use it, and whose quota it counts to."))
    name = forms.CharField(
        max_length=64,
        label=_("Name"),
        help_text=_("Part of its address: lower-case letters, digits, '-', '_' and '.'. It is hard to change."),
    )
    visibility = forms.ChoiceField(choices=VISIBILITIES, label=_("Who may read it"), initial="private")
    description = forms.CharField(required=False, label=_("What it is for"), widget=forms.Textarea(attrs={"rows": 2}), max_length=20_000)


class SettingsForm(HubForm):
    description = forms.CharField(required=False, label=_("What it is for"), widget=forms.Textarea(attrs={"rows": 3}), max_length=20_000)
    visibility = forms.ChoiceField(choices=VISIBILITIES, label=_("Who may read it"))
    allow_overwrite = forms.BooleanField(
        required=False,
        label=_("Files may be overwritten"),
        help_text=_("Off is safer: what somebody installed today is the same tomorrow."),
    )
    keep_builds = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        label=_("Keep the newest builds"),
        help_text=_("Of each package and platform; empty keeps all."),
    )
    keep_all_revisions = forms.BooleanField(
        required=False,
        label=_("Every revision is kept for ever"),
        help_text=_("Else all of 30 days, then the last of each day; pinned and tagged ones always."),
    )


@page(anonymous=True)
def channel_list(request: PortalRequest) -> HttpResponseBase:
    filters = {name: asked(request, name) for name in ("q", "visibility", "organization")}
    rows = Channel.objects.visible_to(request.actor)
    if filters["q"]:
        rows = rows.filter(Q(name__icontains=filters["q"]) | Q(description__icontains=filters["q"]))
    if filters["visibility"] in Visibility.values:
        rows = rows.filter(visibility=filters["visibility"])
    if filters["organization"]:
        rows = rows.filter(organization__name=filters["organization"])
    columns, order = paging.sorting(request, CHANNEL_COLUMNS, "name")
    listed = paging.numbered(request, reads.with_changes(rows).order_by(*order))
    context = {
        "page": listed,
        "columns": columns,
        "counts": reads.packages_counts([row.pk for row in listed.rows]),
        "visibilities": list(words.VISIBILITIES.items()),
        "may_create": bool(homes(request.actor)),
        "filtered": any(filters.values()),
        **filters,
    }
    return show(request, "channels/list.html", context)


@page(methods=("GET", "HEAD", "POST"))
def channel_new(request: PortalRequest) -> HttpResponseBase:
    possible = homes(request.actor)
    form = NewChannelForm(request.POST or None, initial={"organization": asked(request, "organization")})
    error: HubError | None = None
    if request.method == "POST" and form.is_valid():
        values = dict(form.cleaned_data)
        try:
            organization = listings.organization_to_create_in(request.actor, values.pop("organization"))
            with slow_probing(request):
                made = services.create_channel(actor=request.actor, organization=organization, **values)
            said = gettext("The channel '%(name)s' is there. Now put a package into it.") % {"name": made.name}
            return done(request, reverse("channels:upload", args=[made.name]), said)
        except HubError as refused:
            error = refused
    allowed = {
        "public": hub_settings.CONDAHUB_ALLOW_PUBLIC_CHANNELS,
        "internal": hub_settings.CONDAHUB_ALLOW_INTERNAL_CHANNELS,
        "private": True,
    }
    context = {"form": form, "homes": possible, "choices": [choice for choice in VISIBILITIES if allowed[choice[0]]]}
    return show(request, "channels/new.html", context, error=error)


@page(anonymous=True)
def channel(request: PortalRequest, channel: str) -> HttpResponseBase:
    """The packages of a channel, which is what most come for."""
    found = channel_for(request, channel)
    if found.name != channel:
        said = gettext("'%(before)s' is called '%(name)s' now.") % {"before": channel, "name": found.name}
        return done(request, reverse("channels:channel", args=[found.name]), said)
    if found.is_virtual:
        return union_packages.packages(request, found)
    filters = {name: asked(request, name) for name in ("q", "platform")}
    rows = listings.packages_of(request.actor, found).defer("description")
    if filters["q"]:
        rows = rows.filter(Q(name__icontains=filters["q"]) | Q(summary__icontains=filters["q"]))
    if filters["platform"]:
        rows = reads.for_platform(rows, filters["platform"])
    columns, order = paging.sorting(request, PACKAGE_COLUMNS, "name")
    context = {
        **head(request, found, "packages"),
        "page": paging.numbered(request, rows.order_by(*order)),
        "columns": columns,
        "filtered": any(filters.values()),
        **filters,
    }
    return show(request, "channels/packages.html", context)


@page(methods=("GET", "HEAD", "POST"))
def settings(request: PortalRequest, channel: str) -> HttpResponseBase:
    found = channel_to_look_at(request, channel, Permission.CHANNEL_UPDATE)
    fields = ("description", "visibility", "allow_overwrite", "keep_builds", "keep_all_revisions")
    form = SettingsForm(request.POST or None, initial={name: getattr(found, name) for name in fields})
    error = None
    if request.method == "POST" and form.is_valid():
        # What is as it was is not asked for: else IT's rule on a visibility would stop every other change.
        changes = {name: value for name, value in form.cleaned_data.items() if value != getattr(found, name)}
        try:
            services.update_channel(actor=request.actor, channel=found, changes=changes)
            return done(request, reverse("channels:settings", args=[found.name]), gettext("Saved."))
        except HubError as refused:
            error = refused
    context = {**head(request, found, "settings"), "form": form, "may_delete": can(request.actor, Permission.CHANNEL_DELETE, found)}
    context["keeps"] = can(request.actor, Permission.CHANNEL_UPDATE, found)
    context["visibility_word"] = words.VISIBILITIES[Visibility(found.visibility)]
    context["grace_days"] = hub_settings.CONDAHUB_CHANNEL_GRACE_DAYS
    return show(request, "channels/settings.html", context, error=error)


@page(methods=("POST",))
def rename(request: PortalRequest, channel: str) -> HttpResponseBase:
    found = channel_for(request, channel, Permission.CHANNEL_DELETE)
    try:
        with slow_probing(request):
            renamed = services.rename_channel(actor=request.actor, channel=found, name=request.POST.get("name", "").strip())
    except HubError as error:
        return failed(request, reverse("channels:settings", args=[found.name]), error)
    sentence = gettext("It is called '%(name)s' now; '%(before)s' goes on answering.") % {"name": renamed.name, "before": channel}
    return done(request, reverse("channels:settings", args=[renamed.name]), sentence)


@page(methods=("POST",))
def delete(request: PortalRequest, channel: str) -> HttpResponseBase:
    found = channel_for(request, channel, Permission.CHANNEL_DELETE)
    try:
        if request.POST.get("name", "").strip() != found.name:
            raise Unprocessable(gettext("The name does not match."), hint=gettext("Type the channel's name to close it."))
        services.delete_channel(actor=request.actor, channel=found)
    except HubError as error:
        return failed(request, reverse("channels:settings", args=[found.name]), error)
    said = gettext("'%(name)s' is closed. For %(days)s days it can be brought back.")
    values = {"name": found.name, "days": hub_settings.CONDAHUB_CHANNEL_GRACE_DAYS}
    return done(request, reverse("channels:list"), said % values)


def homes(actor: Actor) -> list[Organization]:
    """The organizations in which the actor may make a channel, its personal one first."""
    if actor.is_anonymous:
        return []
    rows = accounts.visible_organizations(actor)[:MAX_ORGANIZATIONS]
    possible = [row for row in rows if can(actor, Permission.CHANNEL_CREATE, row)]
    return sorted(possible, key=lambda row: (row.personal_of_id != actor.user_id, row.is_personal, row.name))


def organization_panel(actor: Actor, organization: Organization) -> dict[str, Any]:
    """The channels of an organization, for its page."""
    rows = list(reads.with_changes(Channel.objects.visible_to(actor).filter(organization=organization)).order_by("name")[:21])
    return {
        "channels": rows[:20],
        "more": len(rows) > 20,
        "counts": reads.packages_counts([row.pk for row in rows[:20]]),
        "may_create": can(actor, Permission.CHANNEL_CREATE, organization),
    }
