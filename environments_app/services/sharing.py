"""Whatever is made of channels is read by those who may read each of them, unless a channel's owner lets it be shared."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import F, Q

from channels_app.models import Channel, VirtualMember
from condahub.accounts.models import Grant, Team
from condahub.accounts.policy import Actor, Permission, Visibility, can
from condahub.errors import Forbidden
from environments_app.models import BuildChannel, BuildMember, Environment, Redistribution

_WIDTH = {Visibility.PRIVATE.value: 0, Visibility.INTERNAL.value: 1, Visibility.PUBLIC.value: 2}


def is_wider(visibility: str, than: str) -> bool:
    return _WIDTH[visibility] > _WIDTH[than]


def channels_of(environment: Environment) -> list[Channel]:
    """Every channel that a build of it is made of, also through a virtual one."""
    named = BuildChannel.objects.filter(build__environment=environment, channel__isnull=False).values("channel")
    members = BuildMember.objects.filter(build__environment=environment, member__isnull=False).values("member")
    return list(Channel.objects.select_related("organization").filter(Q(pk__in=named) | Q(pk__in=members)))


def with_members(channels: Iterable[Channel]) -> list[Channel]:
    """The channels and, of virtual ones, the members that their readers have not been given by the owners of those."""
    found = {channel.pk: channel for channel in channels}
    virtual = [pk for pk, channel in found.items() if channel.is_virtual]
    rows = VirtualMember.objects.filter(virtual__in=virtual, shared_by="").select_related("member__organization") if virtual else ()
    for row in rows:
        found.setdefault(row.member_id, row.member)
    return list(found.values())


def teams_elsewhere(environment: Environment) -> list[Team]:
    """Teams of other organizations that the environment is shared with."""
    grants = Grant.objects.filter(environment_id=environment.pk, team__isnull=False).exclude(team__organization=F("organization"))
    return list(Team.objects.filter(pk__in=grants.values("team")).select_related("organization"))


def share(*, actor: Actor, environment: Environment, visibility: str, channels: Iterable[Channel], team: Team | None = None) -> list[str]:
    """Let the readers of this visibility, and the teams of other organizations that it is shared with, have what is made of these.

    A channel that some of them may not read needs its owner's word: given here when the actor is one, and kept. team: one that
    it is to be shared with now. In the caller's transaction. Returns the names of those channels. Raises Forbidden, naming a
    channel only to those who may know it.
    """
    teams = [*teams_elsewhere(environment), *([team] if team is not None else [])]
    if visibility == Visibility.PRIVATE and not teams:
        return []
    known = set(Redistribution.objects.filter(environment=environment).values_list("channel_id", flat=True))
    asked = [channel for channel in with_members(channels) if channel.pk not in known]
    narrow = [one for one in asked if is_wider(visibility, one.visibility) or not all(_may_read(team, one) for team in teams)]
    for channel in narrow:
        if not can(actor, Permission.CHANNEL_REDISTRIBUTE, channel):
            raise _refusal(actor, channel, visibility, shared=not is_wider(visibility, channel.visibility))
    Redistribution.objects.bulk_create([Redistribution(environment=environment, channel=one, given_by=actor.label) for one in narrow])
    return [channel.name for channel in narrow]


def _may_read(team: Team, channel: Channel) -> bool:
    """Whether all of a team may: by a role of the team's own, as those of its people come and go."""
    if channel.visibility != Visibility.PRIVATE:
        return True
    on = Q(channel_id=channel.pk) | Q(channel_id=None, environment_id=None)
    return Grant.objects.filter(on, team=team, organization=channel.organization_id).exists()


def _refusal(actor: Actor, channel: Channel, visibility: str, *, shared: bool) -> Forbidden:
    may_know = can(actor, Permission.CHANNEL_READ, channel)
    named = f"the channel '{channel.name}'" if may_know else "a channel that you may not see"
    why = f"be shared with another organization's team: it is made of {named}, which they may not read"
    if not shared:
        why = f"be {visibility}: it is made of {named}, which is not"
    return Forbidden(
        f"This environment can't {why}.",
        code="channel_not_shareable",
        hint="An owner of that channel can do it, and so lets what is made of it be shared.",
    )
