"""Pages of a channel's past: its revisions, and what one changed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _

from channels_app import history
from channels_app.models import Channel, ChannelKind
from channels_app.portal.frame import channel_for, files_count, head
from channels_app.services.keeping import keep_revision
from channels_app.services.rollback import roll_back
from channels_app.virtual import walls
from condahub.accounts.policy import Permission, can
from condahub.errors import HubError
from condahub.portal import paging
from condahub.portal.page import PortalRequest, asked, done, failed, page, show
from condahub.portal.wording import counted, listed
from condahub.portal.wording import number as spelled

SHOWN_ROWS = 500


@page(anonymous=True)
def revision_list(request: PortalRequest, channel: str) -> HttpResponseBase:
    found = channel_for(request, channel)
    frame = head(request, found, "revisions")
    listed = paging.stretch(request, history.revisions_of(found), "number")
    context = {
        **frame,
        "page": {"older": listed.older, "newest": listed.newest},
        "rows": [{"one": one, "files": files_count(one), "address": _past(found, one.number)} for one in listed.rows],
        "past": _past(found, found.head),
    }
    return show(request, "channels/revisions.html", context)


@page(anonymous=True)
def revision(request: PortalRequest, channel: str, number: int) -> HttpResponseBase:
    """What came, changed and went up to this revision, since the one before or the one that `?since=` names."""
    found = channel_for(request, channel)
    one = history.revision_of(found, number)
    text = asked(request, "since", 18)
    since = int(text) if text.isascii() and text.isdigit() else _before(found, number)
    walls.require_revisions(request.actor, found, since, number)
    context: dict[str, Any] = {**head(request, found, "revisions", whole=False), "one": one, "since": since}
    context["past"] = _past(found, number)
    context["may_keep"] = can(request.actor, Permission.CHANNEL_UPDATE, found)
    context["may_roll_back"] = context["may_keep"] and found.kind == ChannelKind.HOSTED
    try:
        difference = history.differences(found, since=since, until=number)
    except HubError as error:
        return show(request, "channels/revision.html", {**context, "groups": [], "summary": ""}, error=error)
    groups = [
        {
            "key": key,
            "label": label,
            "sign": sign,
            "rows": difference[key][:SHOWN_ROWS],
            "left_out": len(difference[key]) - SHOWN_ROWS,
            "size": _size(difference[key]),
        }
        for key, label, sign in (("added", _("Added"), "+"), ("changed", _("Changed"), "±"), ("removed", _("Removed"), "-"))
        if difference[key]
    ]
    sums = (("added", _("%(files)s added")), ("changed", _("%(files)s changed")), ("removed", _("%(files)s removed")))
    said = [words % {"files": counted(len(difference[key]), "file")} for key, words in sums if difference[key]]
    context |= {"groups": groups, "summary": listed(said) if said else _("Nothing differs")}
    return show(request, "channels/revision.html", context)


@page(methods=("POST",))
def keep(request: PortalRequest, channel: str, number: int) -> HttpResponseBase:
    """Pin a revision, or let it go; with its tag."""
    found = channel_for(request, channel, Permission.CHANNEL_UPDATE)
    path = reverse("channels:revision", args=[found.name, number])
    pinned = request.POST.get("verb") == "keep"
    try:
        keep_revision(actor=request.actor, channel=found, number=number, pinned=pinned, tag=request.POST.get("tag", "").strip())
    except HubError as error:
        return failed(request, path, error)
    return done(request, path, _("It is kept for ever, with its packages.") if pinned else _("It is kept as long as the rules say."))


@page(methods=("GET", "HEAD", "POST"))
def rollback(request: PortalRequest, channel: str, number: int) -> HttpResponseBase:
    """What rolling back would do; and doing it."""
    found = channel_for(request, channel, Permission.CHANNEL_UPDATE)
    if request.method == "POST":
        try:
            made = roll_back(actor=request.actor, channel=found, to=number)
        except HubError as error:
            return failed(request, reverse("channels:revision", args=[found.name, number]), error)
        path = reverse("channels:revision", args=[found.name, made.revision])
        said = _("The channel shows again what revision %(then)s showed, as revision %(now)s.")
        return done(request, path, said % {"then": spelled(number), "now": spelled(made.revision)})
    plan = roll_back(actor=request.actor, channel=found, to=number, dry_run=True)
    groups = [
        (_("Come back"), "+", "added", plan.shown),
        (_("Get their metadata of then"), "±", "changed", plan.changed),
        (_("Are deleted"), "-", "removed", plan.hidden),
    ]
    context = {
        **head(request, found, "revisions", whole=False),
        "one": history.revision_of(found, number),
        "plan": plan,
        "groups": [
            {"label": label, "sign": sign, "key": key, "rows": rows[:SHOWN_ROWS], "left_out": len(rows) - SHOWN_ROWS}
            for label, sign, key, rows in groups
            if rows
        ],
    }
    return show(request, "channels/rollback.html", context)


def _past(channel: Channel, number: int) -> str:
    """The address under which clients find the channel as it was then."""
    return f"{settings.CONDAHUB_PUBLIC_URL}/channels/{channel.name}@{number}"


def _before(channel: Channel, number: int) -> int:
    """The kept revision before this one; 0 is before anything."""
    earlier = history.revisions_of(channel).filter(number__lt=number).values_list("number", flat=True).first()
    return earlier or 0


def _size(rows: list[dict[str, Any]]) -> int:
    return sum(row["size"] or 0 for row in rows)
