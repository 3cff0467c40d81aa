"""Virtual channels in the portal: making one, its members in order, whose a name is and what that hides, merged and reserved names."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from channels_app import listings
from channels_app.models import Channel, ChannelKind
from channels_app.portal.channels import VISIBILITIES, NewChannelForm, homes
from channels_app.portal.frame import channel_for, head
from channels_app.services import virtual as services
from channels_app.virtual import reads
from channels_app.virtual.plan import Owner, Plan, read_plan
from condahub.accounts.policy import AccessTarget, Actor, Permission, can
from condahub.errors import HubError, Unprocessable
from condahub.portal import paging
from condahub.portal.page import PortalRequest, asked, done, failed, page, safe_next, show
from condahub.portal.views.organizations import slow_probing

MAX_OFFERED = 500
MAX_SHOWN = 200


class NewUnionForm(NewChannelForm):
    members = forms.CharField(
        label=_("Made of"),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text=_("Names of channels, one a line, the highest first: a package name belongs to the highest that ever held it."),
    )


@page(methods=("GET", "HEAD", "POST"))
def union_new(request: PortalRequest) -> HttpResponseBase:
    form = NewUnionForm(request.POST or None, initial={"organization": asked(request, "organization"), "visibility": "private"})
    error: HubError | None = None
    if request.method == "POST" and form.is_valid():
        values = dict(form.cleaned_data)
        members = values.pop("members").replace(",", "\n").split()
        try:
            organization = listings.organization_to_create_in(request.actor, values.pop("organization"))
            with slow_probing(request):
                made = services.create_virtual(actor=request.actor, organization=organization, members=members, **values)
            said = gettext("'%(name)s' shows its members as one channel.") % {"name": made.name}
            return done(request, reverse("channels:union", args=[made.name]), said)
        except HubError as refused:
            error = refused
    context = {"form": form, "homes": homes(request.actor), "choices": VISIBILITIES, "offered": _offered(request.actor)}
    return show(request, "channels/union_new.html", context, error=error)


@page(anonymous=True)
def union(request: PortalRequest, channel: str) -> HttpResponseBase:
    """What it is made of; who arranges it does so here."""
    found = channel_for(request, channel)
    reads.require_virtual(found)
    arranges = _arranges(request.actor, found)
    context = {
        **head(request, found, "union"),
        "union": reads.union_of(request.actor, found),
        "arranges": arranges,
        "reserved": list(reads.reservations_of(found).order_by("pattern")[:MAX_SHOWN]) if arranges else [],
        "offered": _offered(request.actor) if arranges else [],
    }
    return show(request, "channels/union.html", context)


@page(anonymous=True)
def union_names(request: PortalRequest, channel: str) -> HttpResponseBase:
    """Whose a name is, and what hides what."""
    found = channel_for(request, channel)
    reads.require_virtual(found)
    name = asked(request, "name", 128).lower()
    members = reads.rows_of(found)
    conflicts: Any = reads.conflicts_of(request.actor, found, members)
    shown = paging.numbered(request, conflicts)
    arranges = _arranges(request.actor, found)
    listed = [row["name"] for row in shown.rows] if arranges else []
    plan = read_plan(found.pk, members)
    # Of all names at once: whose each is, by what holds it.
    names = [*listed, *([name] if name else [])]
    held = plan.holders(names)
    owner_of = plan.owners_among(names, held)
    context = {
        **head(request, found, "union", whole=False),
        "arranges": arranges,
        "name": name,
        "explained": reads.explained(request.actor, found, name, members, owner_of(name)) if name else None,
        "page": shown,
        "hiding": {one: _hiding(plan, owner_of(one), held[one]) for one in listed},
    }
    return show(request, "channels/union_names.html", context)


@page(methods=("POST",))
def union_change(request: PortalRequest, channel: str) -> HttpResponseBase:
    """One verb on one member, name or reservation."""
    found = channel_for(request, channel, Permission.CHANNEL_UPDATE)
    path = safe_next(request, reverse("channels:union", args=[found.name]))
    verb, name = request.POST.get("verb", ""), request.POST.get("name", "").strip()
    reason = request.POST.get("reason", "")
    try:
        reads.require_virtual(found)
        if verb in ("add", "up", "down", "out"):
            services.set_members(
                actor=request.actor,
                channel=found,
                members=_arranged([row.member.name for row in reads.rows_of(found)], verb, name),
                names_of_removed=request.POST.get("names", "") if verb == "out" else "",
            )
            said = gettext("The members are arranged; the index follows.")
        elif verb == "merge":
            services.allow_name(actor=request.actor, channel=found, name=name, reason=reason)
            said = gettext("'%(name)s' is shown of all members that hold it.")
        elif verb == "unmerge":
            services.disallow_name(actor=request.actor, channel=found, name=name)
            said = gettext("'%(name)s' is shown of its owner alone.")
        elif verb == "reserve":
            member = request.POST.get("member", "")
            services.reserve(actor=request.actor, channel=found, patterns=name.split(), member=member, reason=reason)
            said = gettext("'%(name)s' is kept for %(member)s.") if member else gettext("'%(name)s' is kept from all members.")
        elif verb == "release":
            services.release(actor=request.actor, channel=found, patterns=[name])
            said = gettext("'%(name)s' is reserved no more.")
        else:
            raise Unprocessable(gettext("Nothing was chosen."))
    except HubError as error:
        return failed(request, path, error)
    return done(request, path, said % {"name": name, "member": request.POST.get("member", "")})


def _arranges(actor: Actor, channel: Channel) -> bool:
    """Who may change its settings; asked without the members, which that right does not hang on."""
    return can(
        actor, Permission.CHANNEL_UPDATE, AccessTarget(channel.organization_id, channel.pk, personal=channel.organization.is_personal)
    )


def is_virtual(channel: Channel) -> bool:
    return channel.is_virtual


def _arranged(members: list[str], verb: str, name: str) -> list[str]:
    if verb == "add":
        return [*members, name]
    if name not in members:
        raise Unprocessable(gettext("That channel is no member any more."), hint=gettext("Look at the page again."))
    at = members.index(name)
    members.remove(name)
    if verb != "out":
        members.insert(max(0, at - 1) if verb == "up" else at + 1, name)
    return members


def _offered(actor: Actor) -> list[str]:
    """Channels that can be members, of those that the actor may read."""
    rows = Channel.objects.visible_to(actor).exclude(kind=ChannelKind.VIRTUAL).order_by("name")
    return list(rows.values_list("name", flat=True)[:MAX_OFFERED])


def _hiding(plan: Plan, owner: Owner, holders: set[int]) -> dict[str, list[str]]:
    """Of a name that several members hold: whose files are shown, and whose are hidden by that. For who arranges the channel."""
    hidden = [plan.names[pk] for pk in plan.members if pk in holders and pk not in owner.members]
    return {"shown": [plan.names[pk] for pk in owner.members], "hidden": hidden}
