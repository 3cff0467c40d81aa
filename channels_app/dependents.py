"""Reads what needs a package: in its channel, and in which other channels of those that somebody may read."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet

from channels_app.models import Channel, PackageNeed
from condahub.accounts.policy import Actor

MAX_CHANNELS = 50


def dependents_of(channel: Channel, name: str) -> QuerySet[PackageNeed]:
    """The packages of a channel, by name, whose latest version needs this one: as the newest file for each platform says.

    For who may read the channel. A virtual one has none of its own: its members answer.
    """
    return PackageNeed.objects.filter(channel=channel, needed=name).order_by("name")


def channels_needing(actor: Actor, name: str, *, beside: Channel) -> list[Channel]:
    """At most MAX_CHANNELS other channels in which something needs this name, of those that the actor may read; one query."""
    needs = PackageNeed.objects.filter(channel=OuterRef("pk"), needed=name)
    return list(Channel.objects.visible_to(actor).exclude(pk=beside.pk).filter(Exists(needs)).order_by("name")[:MAX_CHANNELS])
