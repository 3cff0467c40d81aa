"""A real hub over HTTP, people with tokens, and the command run as they run it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from django.core.cache import cache as django_cache
from pytest_django.live_server_helper import LiveServer

from channels_app import doors
from channels_app.index import maps
from condahub.accounts import cache, services, uses
from condahub.accounts.models import User
from condahub.accounts.policy import SYSTEM, Actor
from condahub.audit import refusals
from condahub.cli import client
from condahub.cli.main import cli
from condahub.packages.maker import make_package
from condahub.storage.blobs import initialise


def forget() -> None:
    for remembered in (cache.forget, uses.reset, refusals.reset, doors.forget_all, maps.forget_all, django_cache.clear):
        remembered()


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, token or file of whoever runs the tests; and no waiting between tries."""
    for name in ("CONDAHUB_URL", "CONDAHUB_TOKEN", "CONDAHUB_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONDAHUB_CONFIG", str(tmp_path / "home" / "config.yaml"))
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.001)


Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """`run("channel", "list")` as a person types it."""

    def go(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, list(arguments), input=stdin, catch_exceptions=False)

    return go


@dataclass
class Hub:
    """A hub that listens, with the people maria (owner of acme) and guest (nobody's), signed in as maria."""

    url: str
    secrets: dict[str, str]
    folder: Path
    run: Run

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run a command that must succeed."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, (arguments, result.output, result.stderr)
        return result

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)

    def package(self, name: str = "demo", version: str = "1.0", **about: Any) -> str:
        return str(make_package(self.folder, name=name, version=version, **about))


@pytest.fixture
def hub(live_server: LiveServer, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    forget()
    initialise()
    people = {name: services.create_user(actor=SYSTEM, username=name) for name in ("maria", "guest")}
    User.objects.filter(username="maria").update(display_name="Maria Example")
    services.create_organization(actor=SYSTEM, name="acme", owner=people["maria"])
    secrets = {name: services.create_token(actor=Actor.of(user), name="laptop", scopes=("full",)).secret for name, user in people.items()}
    monkeypatch.setenv("CONDAHUB_URL", live_server.url)
    monkeypatch.setenv("CONDAHUB_TOKEN", secrets["maria"])
    yield Hub(live_server.url, secrets, tmp_path / "packages", run)
    forget()
