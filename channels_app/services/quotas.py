"""How much a channel and its organization hold, and may: logical bytes, in full to each holder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.db.models import F, Sum

from channels_app.models import Channel
from condahub.accounts import quota
from condahub.accounts.models import Organization
from condahub.errors import QuotaExceeded
from condahub.events.services import watching


def used_by_organization(organization_id: int) -> int:
    """Bytes of all channels of an organization, those in their grace period included."""
    return Channel.objects.filter(organization_id=organization_id).aggregate(total=Sum("used_bytes"))["total"] or 0


def room_bytes(channel: Channel) -> int:
    """How many bytes may still come; sys.maxsize where no quota is set."""
    rooms = [sys.maxsize]
    if channel.quota_bytes is not None:
        rooms.append(channel.quota_bytes - channel.used_bytes)
    if channel.organization.quota_bytes is not None:
        rooms.append(channel.organization.quota_bytes - quota.used_bytes(channel.organization))
    return max(min(rooms), 0)


def require_room(channel: Channel, size: int) -> None:
    """Before a body is read. Raises QuotaExceeded with the numbers."""
    room = room_bytes(channel)
    if size > room:
        raise QuotaExceeded(f"{size:,} bytes do not fit: '{channel.name}' has room for {room:,} more.")


@contextmanager
def telling(channel: Channel) -> Iterator[None]:
    """Owners hear of an upload that found no room; around the transaction, which is rolled back by then."""
    try:
        yield
    except QuotaExceeded:
        watching.tell_quota(channel.organization)
        raise


def add(channel: Channel, size: int) -> None:
    """Count bytes that came (or, negative, went); in the transaction that has taken the channel's row."""
    Channel.objects.filter(pk=channel.pk).update(used_bytes=F("used_bytes") + size)
    channel.used_bytes += size


def require_within(channel: Channel) -> None:
    """After counting, at the end of the transaction: what is over is rolled back. Raises QuotaExceeded."""
    if channel.quota_bytes is not None and channel.used_bytes > channel.quota_bytes:
        raise QuotaExceeded(f"'{channel.name}' may hold {channel.quota_bytes:,} bytes, and this would make {channel.used_bytes:,}.")
    if channel.organization.quota_bytes is not None:
        # The organization's channels are counted together: whoever adds to another one waits here.
        organization = Organization.objects.select_for_update(no_key=True).get(pk=channel.organization_id)
        quota.room_for(organization, 0)
