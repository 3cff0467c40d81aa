"""Whatever is made of channels is read by those who may read each of them, unless a channel's owner lets it be shared."""

from __future__ import annotations

from collections.abc import Iterable

from channels_app.models import Channel
from condahub.accounts.policy import Actor, Permission, Visibility, can
from condahub.errors import Forbidden
from environments_app.models import BuildChannel, Environment, Redistribution

_WIDTH = {Visibility.PRIVATE.value: 0, Visibility.INTERNAL.value: 1, Visibility.PUBLIC.value: 2}


def is_wider(visibility: str, than: str) -> bool:
    return _WIDTH[visibility] > _WIDTH[than]


def channels_of(environment: Environment) -> list[Channel]:
    """Every channel that a build of it is made of."""
    ids = BuildChannel.objects.filter(build__environment=environment, channel__isnull=False).values("channel")
    return list(Channel.objects.select_related("organization").filter(pk__in=ids))


def share(*, actor: Actor, environment: Environment, visibility: str, channels: Iterable[Channel]) -> list[str]:
    """Let the readers of this visibility have what is made of these channels; in the caller's transaction.

    A channel that fewer may read needs its owner's word: given here when the actor is one, and kept. Returns the names of
    those channels. Raises Forbidden, naming a channel only to those who may know it.
    """
    if visibility == Visibility.PRIVATE:
        return []
    known = set(Redistribution.objects.filter(environment=environment).values_list("channel_id", flat=True))
    narrow = [channel for channel in channels if is_wider(visibility, channel.visibility) and channel.pk not in known]
    for channel in narrow:
        if not can(actor, Permission.CHANNEL_REDISTRIBUTE, channel):
            raise _refusal(actor, channel, visibility)
    Redistribution.objects.bulk_create([Redistribution(environment=environment, channel=one, given_by=actor.label) for one in narrow])
    return [channel.name for channel in narrow]


def _refusal(actor: Actor, channel: Channel, visibility: str) -> Forbidden:
    may_know = can(actor, Permission.CHANNEL_READ, channel)
    named = f"the channel '{channel.name}'" if may_know else "a channel that you may not see"
    return Forbidden(
        f"This environment can't be {visibility}: it is made of {named}, which is not.",
        code="channel_not_shareable",
        hint="An owner of that channel can do it, and so lets what is made of it be shared.",
    )
