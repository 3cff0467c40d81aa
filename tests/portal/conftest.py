"""The small world of the API's tests, looked at through the portal: a private and a public channel of acme, one person of each role."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.api.conftest import World, _fresh_memories, world

__all__ = ["_fresh_memories", "visit", "world"]


class Visitor:
    """Somebody with a browser but without scripts: a session, or nobody's."""

    def __init__(self, world: World, who: str = "") -> None:
        self.client = Client(enforce_csrf_checks=False)
        if who:
            self.client.force_login(world.people[who], backend="django.contrib.auth.backends.ModelBackend")

    def get(self, path: str, status: int = 200, **query: str) -> str:
        """The text of a page that is answered with `status`."""
        response = self.client.get(path, query_params=query)
        assert response.status_code == status, (path, response.status_code, response.content[-2000:].decode())
        return response.content.decode()

    def post(self, path: str, status: int = 302, **fields: object) -> HttpResponse:
        response = self.client.post(path, fields)
        assert response.status_code == status, (path, response.status_code, response.content[-2000:].decode())
        return response


@pytest.fixture
def visit(world: World) -> type[Visitor]:
    """`visit(world, "owner")`: that person's browser."""
    return Visitor
