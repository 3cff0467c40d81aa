"""A client of conda-store's API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.api.conftest import World
from tests.environments_app.faces.client import install


class Store:
    """Speaks JSON to `/conda-store/api/v1/` with one token, or none."""

    def __init__(self, secret: str = "", root: str = "/conda-store/api/v1/") -> None:
        self.client = Client(headers={"Authorization": f"Bearer {secret}"} if secret else {})
        self.root = root

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        data = json.dumps(body) if body is not None else ""
        return self.client.generic(method, self.root + path, data=data, content_type="application/json", headers=headers)

    def get(self, path: str) -> Any:
        """The whole answer of a successful GET."""
        response = self("GET", path)
        assert response.status_code == 200, (path, response.status_code, response.content)
        return response.json()

    def data(self, path: str) -> Any:
        return self.get(path)["data"]


@pytest.fixture
def store(world: World) -> Callable[..., Store]:
    def make(who: str = "", *scopes: str, root: str = "/conda-store/api/v1/") -> Store:
        return Store(world.secret(who, *scopes) if who else "", root)

    return make


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of conda-store's own command."""
    return install(tmp_path_factory.mktemp("conda-store"))
