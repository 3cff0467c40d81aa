"""Reads of mirrors and their runs, as somebody who asks may see them."""

from __future__ import annotations

from channels_app.models import Channel
from channels_app.selectors import channel_for
from condahub.accounts.policy import Actor, Permission
from condahub.errors import NotFound
from mirrors_app.models import Mirror, SyncRun


def mirror_of(channel: Channel) -> Mirror | None:
    """The channel's mirror, whoever asks; for the hub's own use."""
    return Mirror.objects.select_related("channel__organization").filter(channel=channel).first()


def mirror_for(actor: Actor, channel_name: str, permission: Permission = Permission.MIRROR_READ) -> Mirror:
    """The mirror of the channel of this name, if the actor has this right on it.

    Raises NotAuthenticated or Forbidden (a hidden and an unknown channel alike), NotFound where the channel is no mirror.
    """
    channel = channel_for(actor, channel_name, permission)
    found = mirror_of(channel)
    if found is None:
        raise NotFound(f"'{channel.name}' is not a mirror.", code="no_mirror")
    return found


def latest_run(mirror: Mirror) -> SyncRun | None:
    """The run that goes on, else the last one that ended."""
    return SyncRun.objects.select_related("job").filter(mirror=mirror).order_by("-id").first()


def run_of(mirror: Mirror, run_id: int) -> SyncRun:
    """Raises NotFound."""
    run = SyncRun.objects.select_related("job").filter(mirror=mirror, pk=run_id).first()
    if run is None:
        raise NotFound(f"'{mirror.channel.name}' has no such run.", code="no_such_run")
    return run
