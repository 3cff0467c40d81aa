"""Reads who may read a channel, today and at a past moment, and by what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from channels_app.models import Channel, ChannelName, VirtualMember
from condahub.accounts import access
from condahub.accounts.access import Key
from condahub.accounts.permissions import Role
from condahub.accounts.policy import Actor, Permission, Visibility, require
from condahub.audit.models import AuditEvent
from condahub.errors import Unprocessable

CHANGES = ("channel.create", "channel.update")
# A role in the middle of a sentence.
ROLES: dict[str, Promise] = {
    Role.READER: pgettext_lazy("role", "reader"),
    Role.CONTRIBUTOR: pgettext_lazy("role", "contributor"),
    Role.MAINTAINER: pgettext_lazy("role", "maintainer"),
    Role.OWNER: pgettext_lazy("role", "owner"),
}


@dataclass
class Readers:
    """people: user name to every way by which he may read it. teams_elsewhere: ways of other organizations' teams, whose people
    those tell. also_of: members of a virtual channel that its readers must be allowed to read as well.
    """

    visibility: str
    people: dict[str, list[str]] = field(default_factory=dict)
    teams_elsewhere: list[str] = field(default_factory=list)
    also_of: list[str] = field(default_factory=list)


def readers_of(actor: Actor, channel: Channel, at: datetime | None = None) -> Readers:
    """For who may read the organization's audit trail. Raises Unprocessable for a moment before the channel was here."""
    require(actor, Permission.ORGANIZATION_AUDIT, channel.organization)
    if at is not None:
        _require_here(channel, at)
    roles = access.roles_of(actor, channel.organization, at)
    found = Readers(channel.visibility if at is None else _visibility(channel, at))
    ways: dict[str, list[str]] = {}
    if channel.organization.personal_of is not None:
        ways[channel.organization.personal_of.username] = [_("the person whose organization it is")]
    for key, role in sorted(roles.roles.items(), key=lambda pair: (pair[0].subject, pair[0].package_name)):
        if key.environment_id is not None or key.channel_id not in (None, channel.pk):
            continue
        way = _on(str(ROLES.get(role, role)), key)
        if key.username:
            ways.setdefault(key.username, []).append(way)
        elif key.team in roles.teams:
            for name in roles.teams[key.team]:
                ways.setdefault(name, []).append(_("%(way)s, through the team %(team)s") % {"way": way, "team": key.team.partition(":")[2]})
        elif not key.team.startswith(f"{channel.organization_id}:"):
            found.teams_elsewhere.append(
                _("%(way)s: the team %(team)s of another organization") % {"way": way, "team": key.team.partition(":")[2]}
            )
    closed = access.closed_accounts(ways, at)
    found.people = {name: ways[name] for name in sorted(ways) if name not in closed}
    if channel.is_virtual:
        rows = VirtualMember.objects.filter(virtual=channel, shared_by="", is_leaving=False).select_related("member").order_by("position")
        found.also_of = [row.member.name for row in rows if row.member.visibility != Visibility.PUBLIC]
    return found


def _on(role: str, key: Key) -> str:
    if key.package_name:
        return _("%(role)s on the package %(package)s") % {"role": role, "package": key.package_name}
    return (_("%(role)s on this channel") if key.channel_id is not None else _("%(role)s on the organization")) % {"role": role}


def _names(channel: Channel) -> list[str]:
    """Under which the trail knows it: what it is called and was called."""
    names = ChannelName.objects.filter(channel=channel).values_list("name", flat=True)
    return [f"channel:{name}" for name in {channel.name, *names}]


def _require_here(channel: Channel, at: datetime) -> None:
    if at < channel.created_at:
        raise Unprocessable(
            f"'{channel.name}' was made after that.", code="not_yet_there", hint=f"Choose a day from {channel.created_at:%Y-%m-%d} on."
        )
    moved = AuditEvent.objects.filter(
        target_type="channel",
        action="channel.change_owner",
        target__in=_names(channel),
        organization_id=channel.organization_id,
        at__gt=at,
    )
    if moved.exists():
        raise Unprocessable(
            "The channel belonged to another organization then.", code="was_elsewhere", hint="Ask IT: they may read every trail."
        )


def _visibility(channel: Channel, at: datetime) -> str:
    """As the trail has it: what the last change until then made it, else what the first one after it found."""
    events = AuditEvent.objects.filter(target_type="channel", target__in=_names(channel), action__in=CHANGES).order_by("id")
    visibility = ""
    for when, action, details in events.values_list("at", "action", "details"):
        if "visibility" not in details:
            continue
        old, new = (details["visibility"], details["visibility"]) if action == "channel.create" else details["visibility"]
        if when > at:
            return visibility or str(old)
        visibility = str(new)
    return visibility or channel.visibility
