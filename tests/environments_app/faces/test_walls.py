"""Who may come through each door of conda-store's clients, by token, by its cookie and by a session: every address has its row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import HttpResponseBase
from django.test import Client
from django.urls import resolve
from pytest_django.fixtures import Settings

from condahub.accounts import services
from condahub.accounts.policy import SYSTEM, Actor
from condahub.jobs.models import Job
from condahub.storage.blobs import blobs
from environments_app.faces.conda_store.entry import COOKIE
from environments_app.models import ArtifactState, Build, BuildArtifact
from environments_app.services.environments import create_environment
from tests.api.conftest import World
from tests.api.test_access_table import COLUMNS
from tests.doors import Row, rows, surprises, token_clients
from tests.environments_app.building import SPEC, make_environments

pytestmark = pytest.mark.django_db

PASSWORD = "a-scientist-signs-in-7"
# The letters are those of the table of the REST API: people by their tokens, then tokens of the owner. {namespace} is an organization
# with the environments {environment}, private, and {open}, public; {hidden} is the owner's own, with nothing that others may see.
TABLE = """
GET    conda-store/api/v1/                                     a u r c m o s x R I U C M O F
GET    conda-store/api/v1/permission                           a u r c m o s x R I U C M O F
POST   conda-store/api/v1/token                                - u r c m o s x 4 4 4 4 4 O F
GET    conda-store/api/v1/usage                                a u r c m o s x R I U C M O F
GET    conda-store/api/v1/namespace                            a u r c m o s x R I U C M O F
GET    conda-store/api/v1/namespace/{namespace}                a u r c m o s x R I U C M O F
GET    conda-store/api/v1/namespace/{hidden}                   - - - - - o s x R I - C M O F
POST   conda-store/api/v1/namespace/newer                      - - - - - - s - - - - - - - -
GET    conda-store/api/v1/environment                          a u r c m o s x R I U C M O F
GET    conda-store/api/v2/environment                          a u r c m o s x R I U C M O F
POST   conda-store/api/v1/environment                          - - - c m o s - - - - C M O F
GET    conda-store/api/v1/environment/{namespace}/{environment}  - - r c m o s x R I - C M O F
GET    conda-store/api/v1/environment/{namespace}/{open}       a u r c m o s x R I U C M O F
GET    conda-store/api/v1/environment/{namespace}/absent       - - - - - - - - - - - - - - -
PUT    conda-store/api/v1/environment/{namespace}/{environment}  - - - c m o s - - - - C M O F
DELETE conda-store/api/v1/environment/{namespace}/{environment}  - - - - m o s - - - - - M O F
GET    conda-store/api/v1/environment/{namespace}/{environment}/lockfile  - - r c m o s x R I - C M O F
GET    conda-store/api/v1/specification                        - - - c m o s - - - - C M O F
POST   conda-store/api/v1/specification                        - - - c m o s - - - - C M O F
GET    conda-store/api/v1/build                                a u r c m o s x R I U C M O F
GET    conda-store/api/v1/build/{build}                        0 0 r c m o s x R I 0 C M O F
PUT    conda-store/api/v1/build/{build}                        0 0 - c m o s - - - 0 C M O F
DELETE conda-store/api/v1/build/{build}                        0 0 - - m o s - - - 0 - M O F
PUT    conda-store/api/v1/build/{build}/cancel                 0 0 - c m o s - - - 0 C M O F
GET    conda-store/api/v1/build/{build}/packages               0 0 r c m o s x R I 0 C M O F
GET    conda-store/api/v1/build/{build}/logs                   0 0 r c m o s x R I 0 C M O F
GET    conda-store/api/v1/build/{build}/archive                0 0 r c m o s x R I 0 C M O F
GET    conda-store/api/v1/build/{build}/lockfile               0 0 r c m o s x R I 0 C M O F
GET    conda-store/api/v1/channel                              a u r c m o s x R I U C M O F
GET    conda-store/api/v1/package                              a u r c m o s x R I U C M O F
GET    conda-store/api/v1/setting                              - u r c m o s x R I U C M O F
GET    conda-store/api/v1/setting/{namespace}                  - - r c m o s x R I - C M O F
GET    conda-store/api/v1/setting/{namespace}/{environment}    - - r c m o s x R I - C M O F
GET    conda-store/{namespace}/{environment}                   - - r c m o s x R I - C M O F
"""
# The letters of people stand for their sessions here: these are a browser's doors, and a token opens none of them.
PAGES = """
GET    conda-store                                             a u r c m o s x R I U C M O F
GET    conda-store/ui/                                         a u r c m o s x R I U C M O F
GET    conda-store/ui/admin/namespaces                         a u r c m o s x R I U C M O F
GET    conda-store/login/                                      > u r c m o s x > > > > > > >
POST   conda-store/login/                                      a u r c m o s x R I U C M O F
POST   conda-store/logout/                                     a u r c m o s x R I U C M O F
"""
SPECIFICATION = {"name": "tools", "channels": ["outer"], "dependencies": ["open"]}
BODIES: dict[str, Any] = {
    "POST conda-store/api/v1/token": {},
    "POST conda-store/api/v1/environment": {"namespace": "acme", "specification": SPECIFICATION},
    "POST conda-store/api/v1/specification": {"namespace": "acme", "specification": SPEC},
    "PUT conda-store/api/v1/environment/{namespace}/{environment}": {"description": "New."},
    "POST conda-store/login/": {"username": "ada", "password": PASSWORD},
}
# What is asked of no engine: nothing is of this name.
QUERIES = {"GET conda-store/api/v1/specification": "?namespace=acme&channels=never-heard-of&conda=open"}
OPENED = {"GET conda-store/api/v1/specification": {400, 422}}


@pytest.fixture
def values(world: World) -> dict[str, Any]:
    """What stands for the names in the tables' paths."""
    made = make_environments(world)
    build = Build.objects.get(environment__name=made["environment"], number=1)
    Build.objects.filter(pk=build.pk).update(job=Job.objects.create(kind="environments.build", lane="heavy", organization=world.acme))
    digest = blobs("artifacts").put_bytes(b"an archive")
    facts = {"state": ArtifactState.READY, "sha256": digest, "size": 10, "filename": "tools.tar.gz"}
    BuildArtifact.objects.create(build=build, kind="archive", platform="linux-64", **facts)
    services.create_user(actor=SYSTEM, username="ada", password=PASSWORD)
    own = services.create_organization(actor=Actor.of(world.people["staff"]), name="hideaway", owner=world.people["owner"])
    create_environment(actor=Actor.of(world.people["owner"]), organization=own, name="quiet")
    return {**made, "build": build.pk, "hidden": own.name, "namespace": "acme"}


def _sent(values: dict[str, Any], **headers: str) -> Any:
    def send(client: Client, row: Row) -> HttpResponseBase:
        path = "/" + row.path.format_map(values) + QUERIES.get(row.operation, "")
        body = json.dumps(BODIES[row.operation]) if row.operation in BODIES else ""
        return client.generic(row.method, path, data=body, content_type="application/json", headers=headers)

    return send


def test_the_table_is_what_happens(world: World, values: dict[str, Any]) -> None:
    wrong = surprises(TABLE, token_clients(world), _sent(values), opened=OPENED)
    assert not wrong, "\n".join(wrong)


def test_the_shorter_addresses_and_those_with_a_last_slash_are_the_same_doors(values: dict[str, Any]) -> None:
    for row in rows(TABLE):
        path = "/" + row.path.format_map(values)
        shorter = path.removeprefix("/conda-store") if "/api/" in path else path
        for other in (shorter, path.removesuffix("/") + "/", shorter.removesuffix("/") + "/"):
            assert resolve(other).func is resolve(path).func, other


def test_a_session_counts_for_nothing_but_on_pages(world: World, values: dict[str, Any]) -> None:
    browser = {"staff": world.session("staff").client}
    wrong = surprises(TABLE, browser, _sent(values), opened=OPENED, cells_of="a")
    assert not wrong, "\n".join(wrong)


def test_the_cookie_is_a_token_and_carries_no_change_from_another_site(world: World, values: dict[str, Any]) -> None:
    clients = {column: Client() for column in "rU"}
    for column, client in clients.items():
        client.cookies[COOKIE] = world.secret(*COLUMNS[column])
    reads = "\n".join(line for line in TABLE.strip().splitlines() if line.startswith("GET    conda-store/api/"))
    wrong = surprises(reads, clients, _sent(values), opened=OPENED)
    assert not wrong, "\n".join(wrong)
    owner = {"o": Client()}
    owner["o"].cookies[COOKIE] = world.secret("owner")
    changes = [row for row in rows(TABLE) if row.method != "GET"]
    for row in changes:
        refused = _sent(values, Origin="https://elsewhere.example")(owner["o"], row)
        assert refused.status_code == 403 and refused.json()["code"] == "cross_site", row.operation  # type: ignore[attr-defined]
    assert len(changes) > 8


def test_pages_are_opened_by_sessions_and_by_no_token(world: World, values: dict[str, Any], settings: Settings) -> None:
    people = {column: (world.session(*who) if who else world.api()).client for column, who in COLUMNS.items() if len(who) < 2}
    wrong = surprises(PAGES, token_clients(world) | people, _sent(values, Origin=settings.CONDAHUB_PUBLIC_URL))
    assert not wrong, "\n".join(wrong)
    told = token_clients(world)["F"].get("/conda-store/login/")
    assert COOKIE not in told.cookies
