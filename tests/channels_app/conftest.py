"""A channel to try things on, and the shortest way to publish into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from channels_app import doors
from channels_app.index import answers, maps
from channels_app.models import Channel
from channels_app.services import publish
from channels_app.services.channels import create_channel
from channels_app.services.publish import Published, Upload
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.packages.maker import make_package
from condahub.storage.blobs import blobs, initialise

Publisher = Callable[..., Published]


@pytest.fixture(autouse=True)
def _store() -> None:
    initialise()
    doors.forget_all()
    maps.forget_all()
    answers.forget_all()


@pytest.fixture
def staff(db: None) -> Actor:
    return Actor.of(User.objects.create(username="it", is_staff=True, is_superuser=True))


@pytest.fixture
def organization(db: None) -> Organization:
    return Organization.objects.create(name="acme")


@pytest.fixture
def channel(staff: Actor, organization: Organization) -> Channel:
    return create_channel(actor=staff, organization=organization, name="tools", visibility="public")


@pytest.fixture
def push(staff: Actor, tmp_path: Path) -> Publisher:
    """`push(channel, name=..., version=..., ...)` makes a package and publishes it."""

    def run(channel: Channel, *, actor: Actor | None = None, force: bool = False, **about: Any) -> Published:
        return push_file(actor or staff, channel, make_package(tmp_path, **about), force=force)

    return run


def push_file(actor: Actor, channel: Channel, path: Path, *, force: bool = False) -> Published:
    size = path.stat().st_size
    permit = publish.permit_upload(actor=actor, channel_name=channel.name, filename=path.name, force=force, declared_bytes=size)
    with blobs().temporary(size) as temporary:
        temporary.write(path.read_bytes())
        return publish.publish(actor=actor, permit=permit, uploads=[Upload(path.name, temporary)])[0]
