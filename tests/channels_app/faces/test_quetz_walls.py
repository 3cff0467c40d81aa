"""Who may come through each door of publishing clients (Quetz's, prefix.dev's and Artifactory's): one table, every address has its row."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponseBase
from django.test import Client

from condahub.accounts import services
from condahub.accounts.policy import Actor
from condahub.jobs.models import Job
from condahub.packages.maker import make_package
from mirrors_app.models import RegisteredMirror
from tests.api.conftest import World, _fresh_memories, world
from tests.doors import Row, surprises, token_clients

__all__ = ["_fresh_memories", "world"]

pytestmark = pytest.mark.django_db

# The letters are those of the table of the REST API: people by their tokens, then tokens of the owner. {username} belongs to nothing,
# {member} and {owner} to the organization; {channel} is private, {public} is public.
TABLE = """
GET    api/me                                                  - u r c m o s x R I U C M O F
GET    api/users                                               - u r c m o s x R I U C M O F
GET    api/paginated/users                                     - u r c m o s x R I U C M O F
GET    api/users/{username}                                    - 0 0 0 0 0 s 0 0 0 0 0 0 0 0
GET    api/users/{member}                                      - 0 r c m o s 0 R I 0 C M O F
DELETE api/users/{username}                                    - 0 0 0 0 0 s 0 0 0 0 0 0 0 0
DELETE api/users/{member}                                      - 0 - - - - s 0 - - 0 - - - -
GET    api/users/{username}/role                               - - - - - - s - - - - - - - -
GET    api/users/{owner}/role                                  - - - - - o s - R I U C M O F
PUT    api/users/{username}/role                               - - - - - - - - - - - - - - -
PUT    api/users/{member}/role                                 - - - - - - s - - - - - - - -
GET    api/users/{owner}/channels                              - - - - - o s - R I - C M O F
GET    api/paginated/users/{username}/channels                 - - - - - - s - - - - - - - -
GET    api/users/{owner}/packages                              - - - - - o s - R I - C M O F
GET    api/paginated/users/{username}/packages                 - - - - - - s - - - - - - - -
GET    api/channels/search                                     a u r c m o s x R I U C M O F
GET    api/packages/search                                     a u r c m o s x R I U C M O F
GET    api/channels                                            a u r c m o s x R I U C M O F
POST   api/channels                                            - - - - m o s - - - - - M O F
GET    api/paginated/channels                                  a u r c m o s x R I U C M O F
GET    api/channels/{channel}                                  - - r c m o s x R I - C M O F
GET    api/channels/{public}                                   a u r c m o s x R I U C M O F
GET    api/channels/{absent}                                   - - - - - - - - - - - - - - -
PATCH  api/channels/{channel}                                  - - - - m o s - - - - - M O F
PATCH  api/channels/{public}                                   - - - - m o s - - - - - M O F
DELETE api/channels/{channel}                                  - - - - - o s - - - - - - O F
PUT    api/channels/{channel}/actions                          - - - - m o s - - - - - M O F
GET    api/channels/{channel}/mirrors                          - - r c m o s x R I - C M O F
POST   api/channels/{channel}/mirrors                          - - - - m o s - - - - - M O F
DELETE api/channels/{channel}/mirrors/{registered}             - - - - m o s - - - - - M O F
GET    api/channels/{channel}/members                          - - - - m o s x - - - - M O F
GET    api/channels/{public}/members                           - - - - m o s x - - - - M O F
POST   api/channels/{channel}/members                          - - - - - o s - - - - - - O F
DELETE api/channels/{channel}/members                          - - - - - o s - - - - - - O F
POST   api/channels/{channel}/upload/{new}                     - - - c m o s - - I U C M O F
POST   api/channels/{public}/upload/{new}                      - - - c m o s - - I U C M O F
POST   api/channels/{channel}/files                            - - - c m o s - - I U C M O F
GET    api/channels/{channel}/packages                         - - r c m o s x R I - C M O F
GET    api/paginated/channels/{channel}/packages               - - r c m o s x R I - C M O F
GET    api/channels/{public}/packages                          a u r c m o s x R I U C M O F
POST   api/channels/{channel}/packages                         - - - c m o s - - I U C M O F
POST   api/channels/{channel}/packages/copy                    - - - c m o s - - I U C M O F
POST   api/channels/{public}/packages/copy                     - - - - - o s - - - - - - O F
GET    api/channels/{channel}/packages/copy                    - - r c m o s x R I - C M O F
DELETE api/channels/{channel}/packages/copy                    - - - - m o s - - - - - M O F
GET    api/channels/{channel}/packages/{package}               - - r c m o s x R I - C M O F
DELETE api/channels/{channel}/packages/{package}               - - - - m o s - - - - - M O F
GET    api/channels/{channel}/packages/{package}/members       - - - - m o s x - - - - M O F
POST   api/channels/{channel}/packages/{package}/members       - - - - - o s - - - - - - O F
POST   api/channels/{channel}/packages/fresh/files             - - - c m o s - - I U C M O F
GET    api/channels/{channel}/packages/{package}/versions      - - r c m o s x R I - C M O F
GET    api/paginated/channels/{channel}/packages/{package}/versions                - - r c m o s x R I - C M O F
GET    api/channels/{channel}/packages/{package}/versions/1.0-0/run_exports        - - r c m o s x R I - C M O F
GET    api/channels/{channel}/packages/{package}/versions/{subdir}/{filename}      - - r c m o s x R I - C M O F
DELETE api/channels/{channel}/packages/{package}/versions/{subdir}/{filename}      - - - - m o s - - - - - M O F
GET    api/api-keys                                            - u r c m o s x - - - - - O F
POST   api/api-keys                                            - u r c m o s x - - - - - - F
DELETE api/api-keys/{token}                                    - 0 0 0 0 o 0 0 - - - - - O F
GET    api/jobs                                                - u r c m o s x R I U C M O F
POST   api/jobs                                                - u r c m o s x R I U C M O F
GET    api/jobs/{job}                                          - 0 r c m o s x R I 0 C M O F
PATCH  api/jobs/{job}                                          - 0 - - m o s - - - 0 - M O F
GET    api/jobs/{job}/tasks                                    - 0 r c m o s x R I 0 C M O F
GET    api/metrics/channels/{channel}                          - - r c m o s x R I - C M O F
GET    api/metrics/channels/{public}                           a u r c m o s x R I U C M O F
GET    api/metrics/channels/{channel}/packages/{package}/versions/{subdir}/{filename}  - - r c m o s x R I - C M O F
POST   api/v1/upload/{channel}                                 - - - c m o s - - I U C M O F
PUT    channels/{channel}/{subdir}/{new}                       - - - c m o s - - I U C M O F
POST   channels/{channel}/{subdir}/{new}                       - - - c m o s - - I U C M O F
"""
# Answered 501 with a sentence, whoever asks.
DECLINED = """
ANY    api/dummylogin/ada                                      a u r c m o s x R I U C M O F
ANY    api/mamba/solve                                         a u r c m o s x R I U C M O F
ANY    api/tos                                                 a u r c m o s x R I U C M O F
ANY    api/content-trust                                       a u r c m o s x R I U C M O F
ANY    metricsp                                                a u r c m o s x R I U C M O F
"""
OPENED = {"POST api/jobs": {501}}
BODIES: dict[str, Any] = {
    "PUT api/users/{username}/role": {"role": "maintainer"},
    "PUT api/users/{member}/role": {"role": "member"},
    "POST api/channels": {"name": "newer"},
    "PATCH api/channels/{channel}": {"private": False},
    "PATCH api/channels/{public}": {"private": True},
    "PUT api/channels/{channel}/actions": {"action": "reindex"},
    "POST api/channels/{channel}/mirrors": {"url": "https://8.8.8.8/conda"},
    "POST api/channels/{channel}/members": {"username": "somebody", "role": "member"},
    "POST api/channels/{channel}/packages": {"name": "newer"},
    "POST api/channels/{channel}/packages/{package}/members": {"username": "somebody", "role": "member"},
    "POST api/api-keys": {"description": "newer"},
    "PATCH api/jobs/{job}": {"status": "cancelled"},
}
QUERIES = {
    "POST api/channels": "?organization=acme",
    "DELETE api/channels/{channel}/members": "?username=helper",
    "POST api/channels/{channel}/packages/copy": "?source_channel=outer&source_package=open&subdir=noarch&filename=open-1.0-0.conda",
    "POST api/channels/{public}/packages/copy": "?source_channel=inner&source_package=inside&subdir=noarch&filename=inside-1.0-0.conda",
}
# The field of the form that the package comes in.
FORMS = {"/files": "files", "api/v1/upload/": "file"}


@pytest.fixture
def values(world: World) -> dict[str, Any]:
    """What stands for the names in the table's paths."""
    owner, staff = Actor.of(world.people["owner"]), Actor.of(world.people["staff"])
    services.create_user(actor=staff, username="somebody")
    services.grant(actor=owner, on=world.inner, role="reader", user=services.create_user(actor=staff, username="helper"))
    world.push(world.inner, name="copy", version="1.0")
    return {
        "absent": "never-heard-of",
        "channel": "inner",
        "filename": "inside-1.0-0.conda",
        "job": Job.objects.create(kind="channels.render", lane="quick", organization=world.acme).pk,
        "member": "contributor",
        "new": "fresh-1.0-0.conda",
        "owner": "owner",
        "package": "inside",
        "public": "outer",
        "registered": RegisteredMirror.objects.create(channel=world.inner, url="https://9.9.9.9/conda").pk,
        "subdir": "noarch",
        "token": services.create_token(actor=owner, name="one", scopes=["read"]).token.pk,
        "username": "somebody",
    }


@pytest.fixture
def package(world: World) -> bytes:
    return make_package(world.folder / "new", name="fresh").read_bytes()


def _sent(values: dict[str, Any], package: bytes) -> Any:
    digest = hashlib.sha256(package).hexdigest()

    def send(client: Client, row: Row) -> HttpResponseBase:
        path = "/" + row.path.format_map(values) + QUERIES.get(row.operation, "")
        if row.method == "POST" and (field := next((name for part, name in FORMS.items() if part in row.path), "")):
            return client.post(path, {field: [SimpleUploadedFile("fresh-1.0-0.conda", package)]})
        if row.path.endswith("/{new}"):
            return client.generic(row.method, f"{path}?sha256={digest}", data=package, content_type="application/octet-stream")
        body = json.dumps(BODIES[row.operation]) if row.operation in BODIES else ""
        return client.generic(row.method, path, data=body, content_type="application/json")

    return send


def test_the_table_is_what_happens(world: World, values: dict[str, Any], package: bytes) -> None:
    wrong = surprises(TABLE, token_clients(world), _sent(values, package), opened=OPENED)
    assert not wrong, "\n".join(wrong)


def test_what_is_declined_is_declined_to_everybody(world: World) -> None:
    clients = {column: client for column, client in token_clients(world).items() if column in "auosRF"}
    declined = {
        f"{method} {line.split()[1]}": {501}
        for line in DECLINED.strip().splitlines()
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    }
    assert not surprises(DECLINED, clients, _sent({}, b""), opened=declined)


def test_a_cookie_counts_for_nothing_here(world: World, values: dict[str, Any], package: bytes) -> None:
    browser = {"staff": world.session("staff").client}
    wrong = surprises(TABLE, browser, _sent(values, package), opened=OPENED, cells_of="a")
    assert not wrong, "\n".join(wrong)
