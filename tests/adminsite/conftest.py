"""The small world of the API's tests, looked at through the admin by staff, an auditor and somebody outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from condahub.adminsite import dashboard
from condahub.maintenance import selectors
from tests.api.conftest import World, _fresh_memories, world

__all__ = ["_fresh_memories", "auditor", "outsider", "staff", "world"]

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture(autouse=True)
def _fresh_pages() -> Iterator[None]:
    dashboard.forget()
    yield
    dashboard.forget()
    selectors.remember(selectors.Notice(), seconds=3600)


def browser(user: object) -> Client:
    client = Client()
    client.force_login(user, backend=BACKEND)  # type: ignore[arg-type]
    return client


@pytest.fixture
def staff(world: World) -> Client:
    return browser(world.people["staff"])


@pytest.fixture
def auditor(world: World) -> Client:
    return browser(world.people["auditor"])


@pytest.fixture
def outsider(world: World) -> Client:
    return browser(world.people["outsider"])
