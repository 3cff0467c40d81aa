"""What channels bring to the portal: its first steps, my channels, what search finds, how much space is used, links of the audit."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import F, Q, QuerySet, Sum
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from channels_app.models import Channel, ChannelKind, Package
from channels_app.portal import channels, lines, reads, refusals, requests, unions
from channels_app.portal.frame import register_tab
from condahub.accounts.policy import Actor, Permission
from condahub.portal import registry
from condahub.portal.refusals import register as register_refusals
from condahub.portal.registry import Found, NavigationEntry, OrganizationPanel, Panel, Tab

MINE_SHOWN = 8


def register() -> None:
    """Called once, when the app is ready."""
    registry.register_navigation(NavigationEntry(_("Channels"), "packages", "/ui/channels", 10, anonymous=True))
    registry.register_welcome("/ui/channels")
    registry.register_navigation(NavigationEntry(_("Requests"), "message-circle", "/ui/requests", 60))
    registry.register_panel(Panel("requests/panel.html", requests.waiting_panel, 15))
    register_tab(Tab("union", _("Made of"), "channels:union", Permission.CHANNEL_READ, 5), unions.is_virtual)
    registry.register_organization_tab(Tab("policy", _("Policy"), "packages:organization_policy", Permission.ORGANIZATION_READ, 50))
    registry.register_panel(Panel("channels/panels/mine.html", my_channels, 20))
    registry.register_organization_panel(OrganizationPanel("channels/panels/organization.html", channels.organization_panel, 10))
    registry.register_search(search, order=10)
    registry.register_ask(asks)
    registry.register_usage(used_bytes)
    registry.register_audit_link("channel:", audit_link)
    registry.register_token_pastes(lines.with_secret)
    register_refusals(refusals.told)


def my_channels(actor: Actor) -> dict[str, Any]:
    """The channels that changed last, and a line to use the first; who has none yet is led to one."""
    newest_first = (F("changed_at").desc(nulls_last=True), "name")
    chosen = reads.with_changes(reads.mine(actor)).order_by(*newest_first)[: MINE_SHOWN + 1]
    # Counted in the same query, of those few alone.
    few = Channel.objects.filter(pk__in=chosen.values("pk"))
    rows = list(reads.with_changes(few).annotate(packages_count=reads.packages_count()).order_by(*newest_first))
    shown = rows[:MINE_SHOWN]
    empty = next((row for row in shown if row.newest_name is None), None)
    filled = next((row for row in shown if row.newest_name is not None), None)
    return {
        "channels": shown,
        "more": len(rows) > MINE_SHOWN,
        "counts": {row.pk: row.packages_count for row in shown},
        # First a channel, then a package in it; from then on the panel speaks of what is there.
        "first_steps": filled is None,
        "to_fill": empty,
        "may_create": bool(channels.homes(actor)) if filled is None else True,
        "commands": _first_commands(actor, empty.name if empty is not None else "") if filled is None else {},
        "paste": dataclasses.replace(lines.use(filled), title=gettext("Use %(name)s") % {"name": filled.name})
        if filled is not None
        else None,
    }


def _first_commands(actor: Actor, channel: str) -> dict[str, str]:
    """What the first steps are in a terminal, ready to be copied."""
    name = channel or f"{actor.user.username if actor.user is not None else 'my'}-tools"
    login = f"condahub login {settings.CONDAHUB_PUBLIC_URL}"
    return {"create": f"{login}\ncondahub channel create {name}", "upload": f"{login}\ncondahub upload {name} *.conda"}


def search(actor: Actor, text: str, limit: int) -> Sequence[Found]:
    """Channels and packages by name, then by what they say of themselves; names that begin so come first."""
    visible = Channel.objects.visible_to(actor)
    matching = visible.filter(Q(name__icontains=text) | Q(description__icontains=text)).order_by("name")[:limit]
    kind, note = gettext("Channel"), gettext("%(version)s in %(channel)s")
    found = [Found(row.name, reverse("channels:channel", args=[row.name]), "packages", kind, row.description) for row in matching]
    packages = Package.objects.filter(channel__in=visible).exclude(latest_version="").select_related("channel").defer("description")
    begin = list(packages.filter(name__startswith=text.lower()).order_by("name", "channel__name")[:limit])
    if len(begin) < limit:
        others = packages.filter(Q(name__icontains=text) | Q(summary__icontains=text)).exclude(name__startswith=text.lower())
        begin += list(others.order_by("name", "channel__name")[: limit - len(begin)])
    return [
        *found,
        *(
            Found(
                row.name,
                reverse("channels:package", args=[row.channel.name, row.name]),
                "package",
                gettext("Package"),
                row.summary,
                note % {"version": row.latest_version, "channel": row.channel.name},
            )
            for row in begin
        ),
    ]


def asks(actor: Actor, text: str, limit: int) -> Sequence[Found]:
    """Channels of one's own organizations, in which packages can be asked for."""
    rows = reads.mine(actor).exclude(kind=ChannelKind.VIRTUAL).order_by("name")[:limit]
    quoted = urlencode({"spec": text})
    return [Found(row.name, f"{reverse('channels:ask', args=[row.name])}?{quoted}", "message-circle", "") for row in rows]


def used_bytes(organization_ids: Collection[int]) -> list[QuerySet[Any, Any]]:
    """Logical bytes of all channels, those in their grace period included, as quotas count them."""
    rows = Channel.objects.filter(organization_id__in=organization_ids).order_by().values_list("organization_id")
    return [rows.annotate(total=Sum("used_bytes"))]


def audit_link(target: str) -> str:
    """`channel:tools` and `channel:tools/noarch/hello-1.0-0.conda`."""
    name, _, path = target.removeprefix("channel:").partition("/")
    subdir, slash, filename = path.partition("/")
    if slash and filename and "/" not in filename:
        return reverse("channels:file", args=[name, subdir, filename])
    return reverse("channels:channel", args=[name]) if name and not path else ""
