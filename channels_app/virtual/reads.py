"""Reads about a virtual channel: its members as somebody who asks may know them, names that several hold, who shows a channel."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet
from django.utils.translation import gettext as _

from channels_app import selectors
from channels_app.index import maps
from channels_app.models import AllowedName, Channel, Package, ReservedName, VirtualChannel, VirtualMember
from channels_app.virtual.plan import Owner, read_plan
from condahub.accounts.policy import Actor, Permission, can
from condahub.errors import Forbidden, NotAuthenticated, NotFound


def virtual_for(actor: Actor, name: str) -> Channel:
    """The virtual channel, for those who may read it or arrange it. Raises NotAuthenticated, Forbidden, NotFound `not_virtual`."""
    channel = selectors.channel_by_name(name)
    if channel is None or not (can(actor, Permission.CHANNEL_READ, channel) or can(actor, Permission.CHANNEL_UPDATE, channel)):
        if actor.user is None:
            raise NotAuthenticated()
        raise Forbidden()
    require_virtual(channel)
    return channel


def require_virtual(channel: Channel) -> None:
    """Raises NotFound."""
    if not channel.is_virtual:
        raise NotFound(f"'{channel.name}' is no virtual channel.", code="not_virtual", hint="Make one: condahub channel virtual create.")


def rows_of(channel: Channel) -> list[VirtualMember]:
    """The members, the highest first."""
    rows = VirtualMember.objects.filter(virtual=channel, is_leaving=False).select_related("member__organization")
    return list(rows.order_by("position", "pk"))


def union_of(actor: Actor, channel: Channel) -> dict[str, Any]:
    """What a virtual channel is made of; a member that the actor may neither read nor has arranged is unnamed.

    state: "following" while the index is being made anew after an edit, else "current".
    """
    arranges = can(actor, Permission.CHANNEL_UPDATE, channel)
    members = []
    for row in rows_of(channel):
        may_know = arranges or can(actor, Permission.CHANNEL_READ, row.member)
        members.append(
            {
                "name": row.member.name if may_know else None,
                "visibility": row.member.visibility if may_know else None,
                "revision": row.member.head if may_know else None,
                "is_deleted": row.member.deleted_at is not None,
                "shared": bool(row.shared_by),
                "shared_by": row.shared_by if may_know else "",
            }
        )
    return {
        "channel": channel.name,
        "revision": channel.head,
        "state": "following" if VirtualChannel.objects.filter(channel=channel, must_rebuild=True).exists() else "current",
        "members": members,
        "merged": sorted(AllowedName.objects.filter(virtual=channel).values_list("name", flat=True)),
    }


def reservations_of(channel: Channel) -> QuerySet[ReservedName]:
    return ReservedName.objects.filter(virtual=channel).select_related("member__organization")


def explain(actor: Actor, channel: Channel, name: str) -> dict[str, Any]:
    """Which members a name belongs to, the owner first, and why; a member that the actor may not know is unnamed.

    `{"name", "owner", "why", "members", "merged", "shown"}`; owner None: nobody's, or somebody's whom the actor may not know.
    That such a member holds a name is told only where the index shows it.
    """
    members = rows_of(channel)
    return explained(actor, channel, name, members, read_plan(channel.pk, members).owners([name])(name))


def explained(actor: Actor, channel: Channel, name: str, members: list[VirtualMember], found: Owner) -> dict[str, Any]:
    """What `explain` says, where whose the name is was found already."""
    arranges = can(actor, Permission.CHANNEL_UPDATE, channel)
    rows = {row.member_id: row.member for row in members}
    named = [rows[pk].name if pk in rows and (arranges or can(actor, Permission.CHANNEL_READ, rows[pk])) else None for pk in found.members]
    shown = any(name in names for names in maps.load(channel.pk, channel.head).values())
    if None in named and not shown:
        return {"name": name, "owner": None, "why": _("held by no member"), "members": [], "merged": False, "shown": False}
    owner = named[0] if named else None
    return {"name": name, "owner": owner, "why": found.why, "members": named, "merged": len(named) > 1, "shown": shown}


def conflicts_of(actor: Actor, channel: Channel, rows: list[VirtualMember] | None = None) -> QuerySet[Package, dict[str, Any]]:
    """Names that several of the members hold which the actor may know: rows of `name` and `members`, how many.

    rows: the channel's members, where they are at hand.
    """
    members = [row.member for row in (rows_of(channel) if rows is None else rows) if row.member.deleted_at is None]
    if not can(actor, Permission.CHANNEL_UPDATE, channel):
        members = [one for one in members if can(actor, Permission.CHANNEL_READ, one)]
    held = Package.objects.filter(channel__in=members).order_by().values("name")
    return held.annotate(members=Count("channel")).filter(members__gt=1).order_by("name")


def shown_in(actor: Actor, member: Channel) -> list[dict[str, Any]]:
    """The virtual channels that show a channel: those that the actor may read, and those that it is shared with."""
    rows = VirtualMember.objects.filter(member=member, is_leaving=False).select_related("virtual__organization").order_by("virtual__name")
    owns = can(actor, Permission.CHANNEL_REDISTRIBUTE, member)
    return [
        {"virtual": row.virtual.name, "shared": bool(row.shared_by), "shared_by": row.shared_by, "shared_at": row.shared_at}
        for row in rows
        if row.virtual.deleted_at is None and (can(actor, Permission.CHANNEL_READ, row.virtual) or (owns and row.shared_by))
    ]
