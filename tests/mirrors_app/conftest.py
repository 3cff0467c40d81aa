"""What the mirrors' tests share."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from channels_app import doors
from channels_app.index import answers, maps
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.storage.blobs import initialise
from mirrors_app.core import fetch
from tests.mirrors_app.core.conftest import channel, server
from tests.mirrors_app.world import LOOPBACK

__all__ = ["channel", "server"]


@pytest.fixture(autouse=True)
def _failing_upstreams_are_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "backoff_seconds", lambda *_, **__: 0.01)


@pytest.fixture
def hub(settings: Settings, transactional_db: None) -> None:
    """A hub with a store that remembers nothing and may connect to this machine's loopback."""
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = LOOPBACK
    initialise()
    for module in (doors, maps, answers):
        module.forget_all()


@pytest.fixture
def staff(transactional_db: None) -> Actor:
    return Actor.of(User.objects.create(username="it", is_staff=True, is_superuser=True))


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return Organization.objects.create(name="acme")
