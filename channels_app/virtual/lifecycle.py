"""What becomes of a virtual channel when one of its members, or its own visibility, changes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from channels_app.models import Channel, FormerName, PackageFile, ReservedName, VirtualChannel, VirtualMember
from channels_app.virtual.follow import refresh
from channels_app.virtual.plan import read_plan
from condahub.accounts.policy import SYSTEM, Actor, Permission, Visibility, can
from condahub.errors import Forbidden

CHUNK_ROWS = 500
_WIDTH = {Visibility.PRIVATE.value: 0, Visibility.INTERNAL.value: 1, Visibility.PUBLIC.value: 2}


def must_rebuild(virtual_ids: Iterable[int], *, actor_label: str = "") -> None:
    """In the transaction of an edit: what is remembered of these channels is read anew, and their indexes follow after it."""
    ids = sorted(virtual_ids)
    Channel.objects.filter(pk__in=ids).update(generation=F("generation") + 1)
    VirtualChannel.objects.filter(channel__in=ids).update(must_rebuild=True)
    if ids:
        transaction.on_commit(partial(refresh, ids, actor_label=actor_label), robust=True)


def member_changed(channel: Channel, *, actor: Actor) -> None:
    """A channel was deleted or restored, in this transaction: what is made of it shows it no more, or again; its names stay its."""
    ids = VirtualMember.objects.filter(member=channel).values_list("virtual_id", flat=True)
    must_rebuild(ids, actor_label=actor.label)


def member_ends(channel: Channel) -> None:
    """A channel's grace period is over, in this transaction: the names that it owned are kept from the other members for good."""
    for virtual_id in list(VirtualMember.objects.filter(member=channel, is_leaving=False).values_list("virtual_id", flat=True)):
        keep_names(virtual_id, channel.pk, reason="of a channel that was deleted")
    member_changed(channel, actor=SYSTEM)


def keep_names(virtual_id: int, member_id: int, *, reason: str, by: str = "") -> int:
    """Reserve what a member owns in a virtual channel for nobody; how many names and patterns."""
    plan = read_plan(virtual_id)
    owner_of = plan.owners(None)
    held = set(PackageFile.objects.filter(channel_id=member_id).order_by().values_list("name", flat=True).distinct())
    held |= set(FormerName.objects.filter(channel_id=member_id).values_list("name", flat=True))
    owned = sorted(name for name in held if owner_of(name).members[:1] == (member_id,))
    turned = ReservedName.objects.filter(virtual_id=virtual_id, member_id=member_id).update(member=None, reason=reason[:200])
    ReservedName.objects.bulk_create(
        [ReservedName(virtual_id=virtual_id, pattern=name, reason=reason[:200], created_by=by) for name in owned],
        batch_size=CHUNK_ROWS,
        ignore_conflicts=True,
    )
    return turned + len(owned)


def owns_names(virtual_id: int, member_id: int) -> bool:
    """Whether a member holds, held or reserves any name there."""
    return (
        PackageFile.objects.filter(channel_id=member_id).exists()
        or FormerName.objects.filter(channel_id=member_id).exists()
        or ReservedName.objects.filter(virtual_id=virtual_id, member_id=member_id).exists()
    )


def open_to(actor: Actor, virtual: Channel, visibility: str) -> None:
    """Let a virtual channel have another visibility, in this transaction. Raises Forbidden as `require_shareable` does."""
    rows = VirtualMember.objects.filter(virtual=virtual, shared_by="", is_leaving=False).select_related("member__organization")
    given = require_shareable(actor, visibility, [row.member for row in rows])
    VirtualMember.objects.filter(virtual=virtual, member__in=given).update(shared_by=actor.label, shared_at=timezone.now())


def require_shareable(actor: Actor, visibility: str, members: Iterable[Channel], *, shared: Iterable[int] = ()) -> list[Channel]:
    """The members that fewer may read than are to read the virtual channel: each needs its owner's word, which the actor gives.

    shared: ids of those whose owner gave it. Raises Forbidden, naming a channel only to those who may know it.
    """
    known = set(shared)
    narrow = [one for one in members if one.pk not in known and _WIDTH[visibility] > _WIDTH[one.visibility]]
    for member in narrow:
        if not can(actor, Permission.CHANNEL_REDISTRIBUTE, member):
            named = f"'{member.name}'" if can(actor, Permission.CHANNEL_READ, member) else "a channel that you may not see"
            raise Forbidden(
                f"A virtual channel with {named} in it can't be {visibility}: fewer people may read that.",
                code="channel_not_shareable",
                hint="Make the virtual channel no more open than its members, or let an owner of that channel share it there.",
            )
    return narrow
