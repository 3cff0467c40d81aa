"""With which rights a build works: its author's at this moment, on the channels that it recorded, by a token that ends with the lease."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from channels_app.models import Channel
from condahub.accounts.actors import Limit
from condahub.accounts.models import ApiToken, TokenKind, User
from condahub.accounts.policy import SYSTEM, Actor, Permission, Role, Visibility, can
from condahub.accounts.services import create_token
from condahub.engine import protocol
from condahub.errors import HubError
from condahub.jobs.context import JobContext
from environments_app.models import Build


class Withdrawn(HubError):
    """What the build was to be made of may not be read any more. detail names the channel: for those who may see the build."""

    code = "channel_withdrawn"
    status = 422
    hint = "Name channels that you may read, and build again."


def author_of(build: Build) -> Actor:
    """The person or robot in whose name it is built, with today's rights. Raises Withdrawn where the account is gone."""
    user = User.objects.filter(username=build.author, is_active=True).first()
    if user is None:
        raise Withdrawn("Whoever asked for this build has no account here any more.", code="author_gone", hint="Ask for it again yourself.")
    return Actor(user=user, via="build")


def channels_of(build: Build, author: Actor) -> list[Channel]:
    """The recorded channels in their order, each still there and readable by the author. Raises Withdrawn."""
    rows = build.made_of.select_related("channel__organization").order_by("position")
    found = []
    for row in rows:
        channel = row.channel
        gone = channel is None or channel.deleted_at is not None or channel.organization.deleted_at is not None
        if channel is None or gone or not can(author, Permission.CHANNEL_READ, channel):
            raise Withdrawn(f"The channel '{row.name}' can't be read any more by {build.author}, who asked for this build.")
        found.append(channel)
    return found


def engine_channels(channels: Iterable[Channel]) -> tuple[protocol.Channel, ...]:
    """The channels as a child reaches them, pinned to the revision they have now."""
    return tuple(
        protocol.Channel(
            name=channel.name,
            address=f"{settings.CONDAHUB_ENGINE_URL}/channels/{channel.name}",
            revision=channel.head or None,
            public=channel.visibility == Visibility.PUBLIC,
            public_address=f"{settings.CONDAHUB_PUBLIC_URL}/channels/{channel.name}",
        )
        for channel in channels
    )


def engine_hosts() -> frozenset[str]:
    """The hosts that a child speaks to: the byte-serving process, and the store's where it sends clients there."""
    store: Any = settings.STORAGES["blobs"]
    options = store.get("OPTIONS", {})
    addresses = [settings.CONDAHUB_ENGINE_URL, settings.CONDAHUB_S3_PUBLIC_ENDPOINT_URL, options.get("endpoint_url")]
    return frozenset(urlsplit(address).hostname or "" for address in addresses if address) - {""}


def reading_token(*, owner: Actor, channels: Iterable[Channel], name: str, seconds: float) -> tuple[ApiToken, str]:
    """A token of the owner's that reads these channels and nothing else, and its secret. Delete it when it is not needed."""
    assert owner.user is not None
    made = create_token(
        actor=SYSTEM,
        owner=owner.user,
        kind=TokenKind.JOB,
        name=name,
        scopes=[Permission.CHANNEL_READ],
        limits=[Limit(channel.organization_id, channel.pk, "", Role.READER) for channel in channels],
        expires_at=timezone.now() + timedelta(seconds=seconds),
    )
    return made.token, made.secret


@contextmanager
def build_token(build: Build, author: Actor, channels: Iterable[Channel], job: JobContext) -> Iterator[str]:
    """The secret of a token that lives as long as the lease on the job does, at most until the block is left."""
    lease = job.kind.lease_seconds
    name = f"build {build.key}"
    # Of an attempt that was killed.
    _forget(name)
    token, secret = reading_token(owner=author, channels=channels, name=name, seconds=lease)

    def prolong() -> None:
        ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() + timedelta(seconds=lease))

    job.on_beat(prolong)
    try:
        yield secret
    finally:
        _forget(name)


def _forget(name: str) -> None:
    with transaction.atomic():
        for token in ApiToken.objects.filter(kind=TokenKind.JOB, name=name):
            token.delete()
