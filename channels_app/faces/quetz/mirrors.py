"""Quetz's verbs for mirrors: an interface that the mirrors' app fills; without it they are answered 501 with a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from django.http import HttpRequest

from channels_app import selectors
from channels_app.faces.entry import Answer, json_object
from channels_app.models import Channel
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission
from condahub.errors import HubError


class Mirrors(Protocol):
    """What the mirrors' app registers. Each checks its own permissions; bodies and answers are Quetz's JSON."""

    def described(self, actor: Actor, channels: Iterable[Channel]) -> Mapping[int, tuple[str | None, str | None]]:
        """By channel id: Quetz's `mirror_channel_url` (for those who may know it) and `mirror_mode`."""
        ...

    def create_channel(self, *, actor: Actor, organization: Organization, body: Mapping[str, Any]) -> Channel: ...

    def listed(self, *, actor: Actor, channel: Channel) -> list[dict[str, Any]]: ...

    def add(self, *, actor: Actor, channel: Channel, body: Mapping[str, Any]) -> dict[str, Any]: ...

    def remove(self, *, actor: Actor, channel: Channel, mirror: str) -> None: ...


_registered: Mirrors | None = None


def register(mirrors: Mirrors) -> None:
    """Called once, when the mirrors' app is ready."""
    global _registered
    _registered = mirrors


def registered() -> Mirrors:
    """Raises HubError 501 `no_mirrors` where this hub has none."""
    if _registered is None:
        raise HubError(
            "This hub does not mirror other channels.",
            code="no_mirrors",
            status=501,
            hint="Publish into a hosted channel, or copy packages from another channel of this hub.",
        )
    return _registered


def described(actor: Actor, channels: Iterable[Channel]) -> Mapping[int, tuple[str | None, str | None]]:
    return {} if _registered is None else _registered.described(actor, channels)


def list_mirrors(request: HttpRequest, actor: Actor, channel: str) -> object:
    found = selectors.channel_for(actor, channel, Permission.CHANNEL_READ)
    return registered().listed(actor=actor, channel=found)


def add_mirror(request: HttpRequest, actor: Actor, channel: str) -> object:
    found = selectors.channel_for(actor, channel, Permission.CHANNEL_UPDATE)
    return Answer(registered().add(actor=actor, channel=found, body=json_object(request)), status=201)


def remove_mirror(request: HttpRequest, actor: Actor, channel: str, mirror: str) -> object:
    found = selectors.channel_for(actor, channel, Permission.CHANNEL_UPDATE)
    registered().remove(actor=actor, channel=found, mirror=mirror)
    return None
