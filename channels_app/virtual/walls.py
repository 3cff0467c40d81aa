"""Who may read what of a virtual channel: each of the channels that it shows, or showed then."""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from channels_app.models import Channel, VirtualChannel, VirtualMember, VirtualRevision
from condahub.accounts.policy import AccessTarget, Actor, Permission, Visibility, can
from condahub.errors import Forbidden, NotAuthenticated


class Parts(NamedTuple):
    """members: names of the channels whose packages are given out, by id, the highest first. made_of: those not everybody may read."""

    members: dict[int, str]
    made_of: tuple[AccessTarget, ...]


def parts_of(virtual_id: int) -> Parts:
    """What a virtual channel shows now; one query."""
    rows = VirtualMember.objects.filter(virtual_id=virtual_id).order_by("position", "pk").select_related("member__organization")
    members: dict[int, str] = {}
    made_of = []
    for row in rows:
        member = row.member
        if not row.is_leaving and member.deleted_at is None and member.organization.deleted_at is None:
            members[member.pk] = member.name
        if not row.shared_by and member.visibility != Visibility.PUBLIC:
            made_of.append(member.access_target)
    return Parts(members, tuple(made_of))


def vector_of(virtual_id: int, number: int) -> dict[int, int]:
    """The members' revisions that a revision was made of; empty for one from before there were members."""
    rows = VirtualRevision.objects.filter(revision__channel_id=virtual_id, revision__number=number)
    return {int(member): head for member, head in (rows.values_list("vector", flat=True).first() or {}).items()}


def may_read_sources(actor: Actor, virtual_id: int, ids: set[int]) -> bool:
    """Whether all of these channels may be read by the actor, or are shared with the readers of the virtual channel.

    One that is gone for good may be read by nobody.
    """
    if not ids:
        return True
    shared = set(
        VirtualMember.objects.filter(virtual_id=virtual_id, member__in=ids).exclude(shared_by="").values_list("member_id", flat=True)
    )
    wanted = ids - shared
    found = list(Channel.objects.existing().filter(pk__in=wanted).select_related("organization")) if wanted else []
    return len(found) == len(wanted) and all(can(actor, Permission.CHANNEL_READ, one) for one in found)


def may_read_revision(actor: Actor, virtual_id: int, number: int) -> bool:
    """Whether the actor may read everything that a past revision was made of."""
    return may_read_sources(actor, virtual_id, set(vector_of(virtual_id, number)))


def may_read_all_past(actor: Actor, virtual_id: int) -> bool:
    """The same of every channel that it ever was made of."""
    return may_read_sources(actor, virtual_id, set(VirtualChannel.objects.values_list("sources", flat=True).get(channel_id=virtual_id)))


def require_revisions(actor: Actor, channel: Channel, *numbers: int) -> None:
    """Raise as for a hidden channel where the actor may not read all that these revisions of a virtual channel were made of."""
    if channel.is_virtual and not all(may_read_revision(actor, channel.pk, number) for number in numbers):
        refuse(actor)


def refuse(actor: Actor) -> NoReturn:
    """In the words for a channel that is hidden or not there."""
    if actor.user is None:
        raise NotAuthenticated()
    raise Forbidden()
