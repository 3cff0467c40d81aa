"""A proxy channel over a real upstream on loopback, in a database that threads share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from pytest_django.fixtures import Settings

from channels_app import doors
from channels_app.index import answers, maps
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.jobs.runner import drain
from condahub.storage.blobs import initialise
from mirrors_app.lazy.source import SOURCE
from mirrors_app.models import Mirror
from mirrors_app.services import runs
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


def until(done: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return when it is so."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def refresh(mirror: Mirror) -> None:
    """As a worker does it when somebody asked for the index."""
    runs.enqueue_refresh(mirror)
    drain("heavy")
    SOURCE.forget_all()


@pytest.fixture
def proxy(make_proxy: MakeProxy, channel: upstream_server.Channel, server: UpstreamServer) -> Mirror:
    """A public one that shows all that the upstream has."""
    mirror = make_proxy()
    refresh(mirror)
    server.requests.clear()
    return mirror
