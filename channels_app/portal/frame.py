"""What all pages of a channel share: who may see it, headline, state in a sentence, tabs, facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from channels_app import history, selectors
from channels_app.models import Channel, ChannelKind, Revision
from channels_app.portal import lines, words
from condahub.accounts.policy import Actor, Permission, can, reads_all
from condahub.portal.page import PortalRequest
from condahub.portal.registry import Tab
from condahub.portal.wording import ago, counted, listed

PLATFORMS_IN_A_SENTENCE = 3
_tabs = [
    Tab("packages", _("Packages"), "channels:channel", Permission.CHANNEL_READ, 0),
    Tab("revisions", _("Revisions"), "channels:revisions", Permission.CHANNEL_READ, 10),
    Tab("policy", _("Policy"), "channels:policy", Permission.CHANNEL_READ, 20),
    Tab("members", _("Members"), "channels:members", Permission.MEMBER_READ, 40),
    Tab("activity", _("Activity"), "channels:activity", Permission.ORGANIZATION_AUDIT, 90),
    Tab("settings", _("Settings"), "channels:settings", Permission.CHANNEL_UPDATE, 99, for_auditors=True),
]
SIGNED_IN_TABS = {"policy"}
_extra_tabs: list[tuple[Tab, Callable[[Channel], bool]]] = []


def register_tab(tab: Tab, shown_for: Callable[[Channel], bool] = lambda _: True) -> None:
    """Another tab of channels' pages, for the apps above; shown_for: of which channels, asked without a query."""
    _extra_tabs.append((tab, shown_for))


def channel_for(request: PortalRequest, name: str, permission: Permission = Permission.CHANNEL_READ) -> Channel:
    """The channel, if the actor has this right on it; hidden and unknown ones are refused alike."""
    return selectors.channel_for(request.actor, name, permission)


def channel_to_look_at(request: PortalRequest, name: str, permission: Permission) -> Channel:
    """The channel, for who has this right on it, and for who reads everything, as long as nothing is changed."""
    look = request.method != "POST" and reads_all(request.actor)
    return channel_for(request, name, Permission.CHANNEL_READ if look else permission)


def head(request: PortalRequest, channel: Channel, tab: str, *, whole: bool = True) -> dict[str, Any]:
    """The context of a channel's frame. whole: with what its newest revision says, for a query."""
    actor = request.actor
    revision = history.revisions_of(channel).first() if whole else None
    known = [one for one in _tabs if not (actor.is_anonymous and one.key in SIGNED_IN_TABS)]
    known += [one for one, shown_for in _extra_tabs if shown_for(channel)]
    # Asked for once: of a virtual channel it takes a query.
    target = channel.access_target
    tabs = [
        {"key": one.key, "label": one.label, "path": reverse(one.url_name, args=[channel.name])}
        for one in sorted(known, key=lambda one: one.order)
        if can(actor, one.permission, channel.organization if one.permission is Permission.ORGANIZATION_AUDIT else target)
        or (one.for_auditors and reads_all(actor))
    ]
    return {
        "channel": channel,
        "revision": revision,
        "tabs": tabs,
        "tab": tab,
        "sentence": sentence(channel, revision),
        "kind_word": words.KINDS[ChannelKind(channel.kind)],
        "platforms": platforms(revision),
        "paste": lines.use(channel),
        "address": lines.address(channel),
        "may_upload": channel.kind == ChannelKind.HOSTED and can(actor, Permission.PACKAGE_UPLOAD, target),
        "knows_organization": knows_organization(actor, channel),
    }


def knows_organization(actor: Actor, channel: Channel) -> bool:
    """Whether its organization's page opens for the actor: a public channel shows no more of its organization than the name."""
    return can(actor, Permission.ORGANIZATION_READ, channel.organization)


def files_count(revision: Revision | None) -> int:
    """Files that can be installed, as the revision says: nothing is counted."""
    return sum(state["records"] for state in revision.subdirs.values()) if revision else 0


def platforms(revision: Revision | None) -> list[str]:
    return sorted(name for name, state in revision.subdirs.items() if state["records"]) if revision else []


def sentence(channel: Channel, revision: Revision | None) -> str:
    """The state of the channel in words."""
    number, names = files_count(revision), platforms(revision)
    if revision is None or not number:
        return gettext("Nothing is published here yet.")
    if len(names) > PLATFORMS_IN_A_SENTENCE + 1:
        more = gettext("%(number)s more platforms") % {"number": len(names) - PLATFORMS_IN_A_SENTENCE}
        names = [*names[:PLATFORMS_IN_A_SENTENCE], more]
    return gettext("%(files)s for %(platforms)s; revision %(revision)s was made %(when)s.") % {
        "files": counted(number, "file"),
        "platforms": listed(names),
        "revision": revision.number,
        "when": ago(revision.created_at),
    }
