"""A mirror brings an upstream into a channel: whole, once, atomically, honestly."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from channels_app import doors
from channels_app.index import answers, maps
from channels_app.models import SEEN_LONG_AGO, Channel, PackageFile
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.storage.blobs import blobs, initialise
from mirrors_app.models import Mirror
from tests.mirrors_app.core.upstream_server import Channel as Upstream
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.world import LOOPBACK, downloadable, expected, make_mirror, run, shown

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _store(settings: Settings) -> None:
    initialise()
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = LOOPBACK
    for module in (doors, maps, answers):
        module.forget_all()


@pytest.fixture
def staff() -> Actor:
    return Actor.of(User.objects.create(username="it", is_staff=True, is_superuser=True))


@pytest.fixture
def organization() -> Organization:
    return Organization.objects.create(name="acme")


@pytest.fixture
def mirror(staff: Actor, organization: Organization, server: UpstreamServer) -> Mirror:
    return make_mirror(staff, organization, server.url)


def test_a_first_run_brings_all_as_one_revision(staff: Actor, mirror: Mirror, channel: Upstream, server: UpstreamServer) -> None:
    before = Channel.objects.get(pk=mirror.channel_id).head
    entry = run(staff, mirror)
    assert (entry.state, entry.added, entry.files, entry.refused) == ("ok", 4, 4, 0), entry.reason
    assert entry.revision == before + 1 == Channel.objects.get(pk=mirror.channel_id).head
    for subdir in ("linux-64", "noarch"):
        assert shown(mirror, subdir) == expected(channel.records[subdir])
        for filename, record in channel.records[subdir].items():
            assert downloadable(mirror, filename, subdir) == record["sha256"]
            assert blobs().read_bytes(record["sha256"]) == (channel.folder / subdir / filename).read_bytes()
    assert set(PackageFile.objects.values_list("first_seen_at", flat=True)) == {SEEN_LONG_AGO}
    assert set(server.packages().values()) == {1}
