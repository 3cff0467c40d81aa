"""A small world behind the REST API: an organization with one person of each role, a private and a public channel, packages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache as django_cache
from django.http import HttpResponse
from django.test import Client

from channels_app import doors
from channels_app.index import maps
from channels_app.models import Channel
from channels_app.services import publish
from channels_app.services.channels import create_channel
from channels_app.services.publish import Published, Upload
from condahub.accounts import cache, services, uses
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import SYSTEM, Actor, Role
from condahub.audit import refusals
from condahub.packages.maker import make_package
from condahub.storage.blobs import blobs, initialise

ROOT = "/api/hub/v1/"
PEOPLE = {"outsider": "", "reader": "reader", "contributor": "contributor", "maintainer": "maintainer", "owner": "owner"}


@dataclass
class World:
    """acme owns the channels `inner` (private, with inside-1.0 and -2.0) and `outer` (public, with open-1.0)."""

    acme: Organization
    people: dict[str, User]
    inner: Channel
    outer: Channel
    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)

    def secret(self, who: str, *scopes: str) -> str:
        """A token of this person, all-powerful unless scopes are named."""
        wanted = scopes or ("full",)
        key = f"{who} {wanted}"
        if key not in self.secrets:
            actor = Actor.of(self.people[who])
            self.secrets[key] = services.create_token(actor=actor, name="test", scopes=wanted).secret
        return self.secrets[key]

    def push(self, channel: Channel, **about: Any) -> Published:
        path = make_package(self.folder, **about)
        actor = Actor.of(self.people["staff"])
        permit = publish.permit_upload(actor=actor, channel_name=channel.name, filename=path.name)
        with blobs().temporary() as temporary:
            temporary.write(path.read_bytes())
            return publish.publish(actor=actor, permit=permit, uploads=[Upload(path.name, temporary)])[0]

    def api(self, who: str = "", *scopes: str) -> Api:
        """A client of the API: somebody's token, or nobody."""
        return Api(self.secret(who, *scopes) if who else "")

    def session(self, who: str) -> Api:
        """A client of the API with somebody's session, as a browser has one."""
        api = Api()
        api.client.force_login(self.people[who], backend="django.contrib.auth.backends.ModelBackend")
        return api


class Api:
    """Speaks JSON to the REST API with one token."""

    def __init__(self, secret: str = "") -> None:
        self.client = Client(headers={"Authorization": f"Bearer {secret}"} if secret else {})

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> HttpResponse:
        if body is not None:
            more |= {"data": body, "content_type": more.get("content_type", "application/json")}
        return self.client.generic(method, ROOT + path, **_encoded(more))

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a successful GET."""
        response = self.client.get(ROOT + path, query_params=query)
        assert response.status_code == 200, (path, response.status_code, response.content[:500])
        return response.json()

    def do(self, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        """The JSON of a request that is answered with `status`."""
        response = self(method, path, body, **more)
        assert response.status_code == status, (method, path, response.status_code, response.content[:500])
        return response.json() if response.content else None


def _encoded(more: dict[str, Any]) -> dict[str, Any]:
    import json

    data = more.get("data")
    if isinstance(data, dict | list) and more["content_type"] == "application/json":
        more["data"] = json.dumps(data)
    return more


@pytest.fixture(autouse=True)
def _fresh_memories() -> Iterator[None]:
    for forget in (cache.forget, doors.forget_all, maps.forget_all, refusals.reset, django_cache.clear):
        forget()
    uses.reset()
    yield
    uses.reset()


@pytest.fixture
def world(db: None, tmp_path: Path) -> World:
    initialise()
    people = {"admin": services.create_user(actor=SYSTEM, username="root", is_superuser=True)}
    people["staff"] = services.create_user(actor=SYSTEM, username="it", is_staff=True)
    people["auditor"] = services.create_user(actor=SYSTEM, username="auditor", is_auditor=True)
    people |= {role: services.create_user(actor=SYSTEM, username=role) for role in PEOPLE}
    staff = Actor.of(people["staff"])
    acme = services.create_organization(actor=staff, name="acme", owner=people["owner"])
    for name, role in PEOPLE.items():
        if role and role != Role.OWNER:
            services.grant(actor=Actor.of(people["owner"]), on=acme, role=role, user=people[name])
    inner = create_channel(actor=staff, organization=acme, name="inner", visibility="private")
    outer = create_channel(actor=staff, organization=acme, name="outer", visibility="public")
    made = World(acme, people, inner, outer, tmp_path)
    made.push(inner, name="inside", version="1.0")
    made.push(inner, name="inside", version="2.0")
    made.push(outer, name="open", version="1.0")
    return made
