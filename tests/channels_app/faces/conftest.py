"""An organization with people of every role, and a short way to call a door as one of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client

from channels_app.models import Channel
from channels_app.services.channels import create_channel
from condahub.accounts.actors import Limit
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.accounts.services import create_organization, create_token, create_user, grant
from condahub.packages.maker import make_package

ROLES = ("reader", "contributor", "maintainer", "owner")


@dataclass
class House:
    """`acme` with people of each role (named after it), an outsider, and staff; `call` sends as one of them."""

    organization: Organization
    staff: Actor
    secrets: dict[str, str] = field(default_factory=dict)

    def token(self, username: str, *, scopes: Iterable[str] = ("full",), limits: Iterable[Limit] = ()) -> str:
        user = User.objects.get(username=username)
        return create_token(actor=Actor.of(user), name="a key", scopes=scopes, limits=limits).secret

    def call(self, method: str, path: str, who: str = "", *, body: Any = None, token: str = "", **extra: Any) -> HttpResponse:
        """`who` has a token made on first use; "" is nobody. bytes are sent raw, anything else as JSON."""
        if who and not token:
            token = self.secrets.get(who) or self.secrets.setdefault(who, self.token(who))
        headers = {"X-API-Key": token} if token else {}
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        client = Client(enforce_csrf_checks=True, raise_request_exception=True)
        return client.generic(
            method, path, raw, content_type=extra.pop("content_type", "application/octet-stream"), headers=headers, **extra
        )

    def get(self, path: str, who: str = "", **extra: Any) -> Any:
        """The JSON of a 200."""
        response = self.call("GET", path, who, **extra)
        assert response.status_code == 200, response.content
        return json.loads(response.content)

    def upload(self, path: Path, who: str = "owner", *, channel: str = "secret", query: str = "", token: str = "") -> HttpResponse:
        """As rattler-build does it."""
        data = path.read_bytes()
        address = f"/api/channels/{channel}/upload/{path.name}?force=false&sha256={hashlib.sha256(data).hexdigest()}{query}"
        return self.call("POST", address, who, body=data, token=token)

    def channel(self, name: str, visibility: str = "private") -> Channel:
        return create_channel(actor=self.staff, organization=self.organization, name=name, visibility=visibility)


@pytest.fixture
def house(db: None) -> House:
    staff = Actor.of(User.objects.create(username="staff", is_staff=True, is_superuser=True))
    for username in (*ROLES, "outsider"):
        create_user(actor=staff, username=username, password=None)
    owner = User.objects.get(username="owner")
    organization = create_organization(actor=staff, name="acme", owner=owner)
    for role in ROLES[:-1]:
        grant(actor=staff, on=organization, role=role, user=User.objects.get(username=role))
    return House(organization, staff)


@pytest.fixture(autouse=True)
def _no_tries_yet() -> None:
    cache.clear()


@pytest.fixture
def secret(house: House) -> Channel:
    """A private channel of acme."""
    return house.channel("secret")


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """`package(name, version, ...)` makes one; other `files` make other bytes under the same name."""

    def make(name: str = "demo", version: str = "1.0", **about: Any) -> Path:
        number = len(list(tmp_path.iterdir()))
        return make_package(tmp_path / str(number), name, version, **about)

    return make


def form_of(*paths: Path, field: str = "files", **fields: str) -> tuple[bytes, str]:
    """A multipart body and its content type."""
    boundary = "a-boundary"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode() for key, value in fields.items()]
    for path in paths:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{path.name}"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + path.read_bytes() + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
