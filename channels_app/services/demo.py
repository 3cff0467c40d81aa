"""The demo channel of a first start: a few small packages made on the spot and published as any other."""

from __future__ import annotations

import tempfile
from pathlib import Path

from django.conf import settings

from channels_app.models import Channel
from channels_app.services import publish
from channels_app.services.channels import create_channel
from channels_app.services.publish import Upload
from condahub.accounts.models import Organization, User
from condahub.accounts.permissions import Visibility
from condahub.accounts.policy import SYSTEM
from condahub.accounts.services import create_organization
from condahub.packages.maker import make_package
from condahub.storage.blobs import blobs

NAME = "demo"
HELLO = b"#!/bin/sh\necho 'Hello from the demo channel.'\n"


def make_demo(owner: User) -> Channel:
    """The organization and channel `demo`, as open as this hub allows; what is there already is left as it is."""
    organization = Organization.objects.filter(name=NAME).first()
    if organization is None:
        organization = create_organization(actor=SYSTEM, name=NAME, title="Demo", owner=owner)
    channel = Channel.objects.filter(name=NAME, organization=organization).first()
    if channel is None:
        channel = create_channel(
            actor=SYSTEM,
            organization=organization,
            name=NAME,
            visibility=_most_open_visibility(),
            description="Small packages to try the hub with.",
        )
    with tempfile.TemporaryDirectory() as folder:
        for path in _packages(Path(folder)):
            _publish(channel, path)
    return channel


def _most_open_visibility() -> Visibility:
    if settings.CONDAHUB_ALLOW_PUBLIC_CHANNELS:
        return Visibility.PUBLIC
    return Visibility.INTERNAL if settings.CONDAHUB_ALLOW_INTERNAL_CHANNELS else Visibility.PRIVATE


def _packages(folder: Path) -> list[Path]:
    greeting = {"summary": "Greets from the demo channel", "license": "BSD-3-Clause"}
    return [
        make_package(folder, name="hello-data", version="1.0", files={"share/hello/greeting.txt": b"Hello!\n"}, about=greeting),
        make_package(
            folder, name="hello", version="1.0", depends=["hello-data >=1.0"], files={"share/hello/hello.sh": HELLO}, about=greeting
        ),
        make_package(
            folder, name="hello", version="1.1", depends=["hello-data >=1.0,<2"], files={"share/hello/hello.sh": HELLO}, about=greeting
        ),
        make_package(folder, name="hello-old", version="0.9", extension=".tar.bz2", depends=["hello-data"], about=greeting),
    ]


def _publish(channel: Channel, path: Path) -> None:
    size = path.stat().st_size
    permit = publish.permit_upload(actor=SYSTEM, channel_name=channel.name, filename=path.name, declared_bytes=size)
    with blobs().temporary(size) as temporary:
        temporary.write(path.read_bytes())
        publish.publish(actor=SYSTEM, permit=permit, uploads=[Upload(path.name, temporary)])
