"""A proxy channel over a real upstream on loopback, in a database that threads share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from channels_app import doors
from channels_app.index import answers, maps
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Channel, PackageFile
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.packages.names import split_filename
from condahub.storage.blobs import initialise
from mirrors_app.lazy.source import SOURCE
from mirrors_app.models import Mirror
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror
from tests.mirrors_app.core import upstream_server
from tests.mirrors_app.core.upstream_server import UpstreamServer

MakeProxy = Callable[..., Mirror]


@pytest.fixture(autouse=True)
def _fresh(transactional_db: None, settings: Settings) -> Iterator[None]:
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = ["127.0.0.0/8"]
    initialise()
    doors.forget_all()
    maps.forget_all()
    answers.forget_all()
    SOURCE.forget_all()
    yield
    SOURCE.fetching.stop()


@pytest.fixture
def staff() -> Actor:
    return Actor.of(User.objects.create(username="it", is_staff=True, is_superuser=True))


@pytest.fixture
def organization() -> Organization:
    return Organization.objects.create(name="acme")


@pytest.fixture
def make_proxy(staff: Actor, organization: Organization, server: UpstreamServer) -> MakeProxy:
    """`make_proxy(name, **settings)`: a lazy mirror of the upstream, whose index is not here yet."""

    def make(name: str = "proxy", *, visibility: str = "public", **settings: object) -> Mirror:
        return create_mirror(
            actor=staff,
            organization=organization,
            name=name,
            visibility=visibility,
            upstreams=[UpstreamSpec(url=server.url)],
            settings={"mode": "lazy", "subdirs": ["linux-64", "noarch"], **settings},
        )

    return make


def show(channel: Channel, upstream: upstream_server.Channel) -> None:
    """The upstream's records as rows without bytes."""
    for subdir, records in upstream.records.items():
        for filename, record in records.items():
            name = split_filename(filename)
            PackageFile.objects.create(
                channel=channel,
                subdir=subdir,
                filename=filename,
                name=name.name,
                version=name.version,
                build=name.build,
                sha256=record.get("sha256", ""),
                md5=record.get("md5", ""),
                size=record.get("size", 0),
                record=json.dumps(record, sort_keys=True),
                indexed_at=timezone.now(),
            )
            mark_dirty(channel.pk, [(subdir, name.name)])
    publish_dirty(channel.pk)


@pytest.fixture
def proxy(make_proxy: MakeProxy, channel: upstream_server.Channel) -> Mirror:
    """A public one that shows all that the upstream has."""
    mirror = make_proxy()
    show(mirror.channel, channel)
    Mirror.objects.filter(pk=mirror.pk).update(last_synced_at=timezone.now())
    return mirror
