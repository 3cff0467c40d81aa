"""Reads of channels and files, as somebody who asks may see them."""

from __future__ import annotations

from django.db.models import F

from channels_app.models import Channel, ChannelName
from condahub.accounts.policy import Actor, Permission, can
from condahub.errors import Forbidden, NotAuthenticated


def channel_by_name(name: str) -> Channel | None:
    """The channel of this name or alias, whoever asks; for the hub's own use."""
    existing = {"deleted_at__isnull": True, "organization__deleted_at__isnull": True}
    found = Channel.objects.select_related("organization").filter(name=name, **existing).first()
    if found is None:
        alias = (
            ChannelName.objects.select_related("channel__organization")
            .filter(name=name, state="alias", **{f"channel__{key}": value for key, value in existing.items()})
            .first()
        )
        found = alias.channel if alias else None
    return found


def channel_for(actor: Actor, name: str, permission: Permission, *, package_name: str = "") -> Channel:
    """The channel, if the actor has this right on it, or on one package name in it; hidden and unknown channels get the same answer.

    Raises NotAuthenticated (anonymous) or Forbidden.
    """
    channel = channel_by_name(name)
    if channel is not None:
        target = channel.target(package_name)
        channel.known_parts = target.made_of
        if can(actor, permission, target):
            return channel
    if actor.user is None:
        raise NotAuthenticated()
    raise Forbidden()


def lock(channel: Channel) -> Channel:
    """Take the channel's row for the rest of the transaction: changes and revisions of one channel come in order.

    Raises Forbidden when it was deleted since it was looked up.
    """
    found = Channel.objects.select_for_update(of=("self",)).select_related("organization")
    taken = found.filter(pk=channel.pk, deleted_at__isnull=True).first()
    if taken is None:
        raise Forbidden()
    return taken


def bump(channel: Channel) -> None:
    """Who may read or which bytes are served changed: what processes remember of this channel is to be read again."""
    Channel.objects.filter(pk=channel.pk).update(generation=F("generation") + 1)
