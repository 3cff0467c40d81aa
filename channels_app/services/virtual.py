"""Make virtual channels, and say what they show: members and their order, merged names, reserved names, who shares what."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from channels_app import selectors
from channels_app.models import AllowedName, Channel, ChannelKind, ReservedName, VirtualMember
from channels_app.services.channels import create_channel
from channels_app.virtual import lifecycle, reads
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict, Forbidden, NotFound, Unprocessable

MAX_MEMBERS = 16
MAX_RESERVATIONS_AT_ONCE = 1000
MAX_PATTERNS = 200
KEEP, RELEASE = "keep", "release"
_NAME = re.compile(r"[a-z0-9_.-]{1,128}")
_PATTERN = re.compile(r"[a-z0-9_.*-]{1,128}")


def create_virtual(
    *,
    actor: Actor,
    organization: Organization,
    name: str,
    members: Sequence[str],
    kind: str = ChannelKind.VIRTUAL,
    **settings: Any,
) -> Channel:
    """Make a virtual channel of these channels, the highest first; settings: those of `create_channel`.

    Raises what `create_channel` and `set_members` raise, Unprocessable for another kind.
    """
    if kind != ChannelKind.VIRTUAL:
        raise Unprocessable(f"A {kind} channel has no members.", code="bad_kind", hint="Leave 'members' out, or make it virtual.")
    with transaction.atomic():
        made = create_channel(actor=actor, organization=organization, name=name, kind=kind, **settings)
        set_members(actor=actor, channel=made, members=members)
    made.refresh_from_db(fields=["head", "generation"])
    return made


def set_members(*, actor: Actor, channel: Channel, members: Sequence[str], names_of_removed: str = "") -> list[VirtualMember]:
    """Put these channels, the highest first, in place of the members that there are.

    names_of_removed: what becomes of the names that a removed member owns: `keep` reserves them for nobody, `release` lets the
    next member that holds one have it; to be said where there are any. Raises Forbidden, Unprocessable, Conflict `names_undecided`.
    """
    _require_virtual(actor, channel)
    if names_of_removed not in ("", KEEP, RELEASE):
        raise Unprocessable(f"'{names_of_removed[:40]}' can't become of names.", code="bad_value", hint=f"Either {KEEP} or {RELEASE}.")
    with transaction.atomic():
        channel = selectors.lock(channel)
        before = {row.member_id: row for row in VirtualMember.objects.filter(virtual=channel).select_related("member__organization")}
        wanted = _resolved(actor, members, [row.member for row in before.values()])
        shared = {pk for pk, row in before.items() if row.shared_by}
        staying = {pk for pk, row in before.items() if not row.is_leaving}
        # Who only puts what is there into another order gives nobody anything.
        given = lifecycle.require_shareable(actor, channel.visibility, [one for one in wanted if one.pk not in staying], shared=shared)
        _let_go(
            actor, channel, [row for pk, row in before.items() if pk in staying and pk not in {one.pk for one in wanted}], names_of_removed
        )
        for position, member in enumerate(wanted):
            values: dict[str, Any] = {"position": position, "is_leaving": False}
            if member in given:
                values |= {"shared_by": actor.label, "shared_at": timezone.now()}
            VirtualMember.objects.update_or_create(virtual=channel, member=member, defaults=values)
        details = {"members": [one.name for one in wanted], "names_of_removed": names_of_removed, "shared": [one.name for one in given]}
        _edited(actor, channel, "channel.members", details)
    return reads.rows_of(channel)


def _resolved(actor: Actor, names: Sequence[str], known: Sequence[Channel]) -> list[Channel]:
    """The channels of these names: those that are members already, and others that the actor may read."""
    if len(names) > MAX_MEMBERS:
        raise Unprocessable(f"A virtual channel has at most {MAX_MEMBERS} members.", code="too_many_members", hint="Name fewer.")
    by_name = {one.name: one for one in known}
    found = [by_name.get(name) or selectors.channel_for(actor, name, Permission.CHANNEL_READ) for name in names]
    if len({one.pk for one in found}) != len(found):
        raise Unprocessable("A channel is named twice.", code="member_twice", hint="Name each member once.")
    for one in found:
        if one.is_virtual:
            raise Unprocessable(
                f"'{one.name}' is a virtual channel itself.", code="nested_virtual", hint="Name the channels that it is made of."
            )
    return found


def _let_go(actor: Actor, channel: Channel, rows: Sequence[VirtualMember], names_of_removed: str) -> None:
    owning = [row for row in rows if lifecycle.owns_names(channel.pk, row.member_id)]
    if owning and not names_of_removed:
        raise Conflict(
            "Say what becomes of the names of the members that go: other members may hold the same ones.",
            code="names_undecided",
            hint=f"names_of_removed: {KEEP} (nobody shows them) or {RELEASE} (the next member that holds a name has it).",
        )
    for row in owning:
        if names_of_removed == KEEP:
            lifecycle.keep_names(channel.pk, row.member_id, reason="of a member that was taken out", by=actor.label)
        else:
            ReservedName.objects.filter(virtual=channel, member_id=row.member_id).delete()
    VirtualMember.objects.filter(pk__in=[row.pk for row in rows]).update(is_leaving=True)


def allow_name(*, actor: Actor, channel: Channel, name: str, reason: str = "") -> None:
    """Show the files of a name of all members that hold it, not of its owner alone. Raises Forbidden, Unprocessable."""
    _require_virtual(actor, channel)
    if _NAME.fullmatch(name) is None:
        raise _bad_name(name)
    with transaction.atomic():
        channel = selectors.lock(channel)
        values = {"reason": _line(reason), "created_by": actor.label}
        AllowedName.objects.update_or_create(virtual=channel, name=name, defaults=values)
        _edited(actor, channel, "channel.allow_name", {"name": name, "reason": _line(reason)})


def disallow_name(*, actor: Actor, channel: Channel, name: str) -> None:
    """Show a name's files of its owner alone again. Raises Forbidden, NotFound."""
    _require_virtual(actor, channel)
    with transaction.atomic():
        channel = selectors.lock(channel)
        if not AllowedName.objects.filter(virtual=channel, name=name).delete()[0]:
            raise NotFound(f"'{name[:80]}' is not merged in '{channel.name}'.", code="not_allowed_name")
        _edited(actor, channel, "channel.disallow_name", {"name": name})


def reserve(*, actor: Actor, channel: Channel, patterns: Sequence[str], member: str = "", reason: str = "") -> None:
    """Let these names (* stands for any characters) belong to a member before it holds them; member '': to nobody, so that none shows them.

    What a higher member ever held stays that one's. Raises Forbidden, Unprocessable.
    """
    _require_virtual(actor, channel)
    if not 1 <= len(patterns) <= MAX_RESERVATIONS_AT_ONCE:
        raise Unprocessable(f"Name 1 to {MAX_RESERVATIONS_AT_ONCE} names at once.", code="bad_name")
    for pattern in patterns:
        if _PATTERN.fullmatch(pattern) is None:
            raise _bad_name(pattern)
    with transaction.atomic():
        channel = selectors.lock(channel)
        owner = next((row.member for row in reads.rows_of(channel) if row.member.name == member), None)
        if member and owner is None:
            raise Unprocessable(f"'{member[:80]}' is no member of '{channel.name}'.", code="not_a_member", hint="Name one of its members.")
        for pattern in dict.fromkeys(patterns):
            values = {"member": owner, "reason": _line(reason), "created_by": actor.label}
            ReservedName.objects.update_or_create(virtual=channel, pattern=pattern, defaults=values)
        if ReservedName.objects.filter(virtual=channel, pattern__contains="*").count() > MAX_PATTERNS:
            raise Unprocessable(f"A virtual channel has at most {MAX_PATTERNS} reservations with a *.", code="too_many_patterns")
        _edited(actor, channel, "channel.reserve", {"patterns": list(patterns)[:50], "member": member, "reason": _line(reason)})


def release(*, actor: Actor, channel: Channel, patterns: Collection[str]) -> None:
    """End reservations: a name then belongs to the highest member that ever held it. Raises Forbidden, NotFound."""
    _require_virtual(actor, channel)
    with transaction.atomic():
        channel = selectors.lock(channel)
        if not ReservedName.objects.filter(virtual=channel, pattern__in=list(patterns)).delete()[0]:
            raise NotFound(f"'{channel.name}' has no such reservation.", code="not_reserved")
        _edited(actor, channel, "channel.release_names", {"patterns": sorted(patterns)[:50]})


def share_member(*, actor: Actor, member: Channel, virtual: str) -> None:
    """Let every reader of a virtual channel have this member's packages through it; for the member's owners. Raises Forbidden."""
    _set_shared(actor, member, virtual, shared_by=actor.label)


def unshare_member(*, actor: Actor, member: Channel, virtual: str) -> None:
    """Take that back: within seconds the virtual channel is read only by those who may read the member. Raises Forbidden."""
    _set_shared(actor, member, virtual, shared_by="")


def _set_shared(actor: Actor, member: Channel, virtual: str, *, shared_by: str) -> None:
    require(actor, Permission.CHANNEL_REDISTRIBUTE, member)
    channel = selectors.channel_by_name(virtual)
    rows = VirtualMember.objects.filter(virtual=channel, member=member)
    if channel is None or not rows.exists():
        # Whether there is a virtual channel of this name is not for everybody to know.
        raise Forbidden
    with transaction.atomic():
        channel = selectors.lock(channel)
        rows.update(shared_by=shared_by, shared_at=timezone.now() if shared_by else None)
        selectors.bump(channel)
        audit(
            actor=actor,
            action="channel.redistribute" if shared_by else "channel.revoke_redistribute",
            target=f"channel:{member.name}",
            organization_id=member.organization_id,
            details={"virtual": channel.name},
        )


def _require_virtual(actor: Actor, channel: Channel) -> None:
    require(actor, Permission.CHANNEL_UPDATE, channel)
    reads.require_virtual(channel)


def _edited(actor: Actor, channel: Channel, action: str, details: dict[str, Any]) -> None:
    audit(actor=actor, action=action, target=f"channel:{channel.name}", organization_id=channel.organization_id, details=details)
    lifecycle.must_rebuild([channel.pk], actor_label=actor.label)


def _line(text: str) -> str:
    return text.replace("\x00", "").strip()[:200]


def _bad_name(name: str) -> Unprocessable:
    return Unprocessable(f"'{name[:80]}' is no package name.", code="bad_name", hint="Lower-case letters, digits, '.', '-', '_'.")
