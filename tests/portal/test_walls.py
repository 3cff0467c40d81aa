"""What somebody may not see is on no page: not by name, not by count, not by search, not by the way a refusal looks."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver
from django.utils import timezone
from pytest_django.fixtures import Settings

from channels_app.portal import urls as channel_urls
from channels_app.portal import urls_wide
from channels_app.services.channels import create_channel
from channels_app.services.policies import waive
from channels_app.services.requests import ask
from channels_app.services.scopes import Scope
from channels_app.services.virtual import create_virtual
from condahub.accounts import services
from condahub.accounts.models import Invitation
from condahub.accounts.policy import SYSTEM, Actor
from condahub.accounts.secrets import generate, hash_of
from condahub.events.services.subscriptions import subscribe
from condahub.events.services.webhooks import create_webhook
from condahub.jobs.models import Job
from condahub.names import RESERVED_NAMES
from condahub.portal import urls as portal_urls
from environments_app.portal import urls as environment_urls
from mirrors_app.bundles.importing import begin_import
from mirrors_app.models import SyncRun
from mirrors_app.portal import urls as mirror_urls
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror
from mirrors_app.services.runs import ask_plan
from tests.api.conftest import World
from tests.environments_app.building import make_environments
from tests.portal.conftest import Visitor

pytestmark = pytest.mark.django_db

# A letter: the page opens (or the change is done and leads on). A dash: the wall, which sends nobody to sign in and answers all others
# alike, 403 for channels and what is in them, 404 for organizations and what is in them, whether or not there is such a one.
#   a anonymous   u somebody outside   r reader   c contributor   m maintainer   o owner of the organization   s staff
TABLE = """
GET  /ui/                                            - u r c m o s
GET  /ui/search                                      a u r c m o s
GET  /ui/jobs                                        - u r c m o s
GET  /ui/jobs/running                                - u r c m o s
GET  /ui/jobs/{job}                                  - - r c m o s
POST /ui/jobs/{job}/cancel                           - - r c m o s
GET  /ui/account                                     - u r c m o s
POST /ui/account/password                            - u r c m o s
POST /ui/account/theme                               a u r c m o s
GET  /ui/account/tokens                              - u r c m o s
GET  /ui/account/tokens/new                          - u r c m o s
POST /ui/account/tokens/{token}/rotate               - u r c m o s
POST /ui/account/tokens/{token}/revoke               - u r c m o s
GET  /ui/account/subscriptions                       - u r c m o s
POST /ui/account/subscriptions/{subscription}/stop   - u r c m o s
GET  /ui/account/invitation/{key}                    a u r c m o s
GET  /ui/account/invitation                          a u r c m o s
GET  /ui/inbox                                       - u r c m o s
GET  /ui/inbox/badge                                 - u r c m o s
POST /ui/inbox/read                                  - u r c m o s
GET  /ui/{organization}/webhooks                     - - - - - o s
GET  /ui/{organization}/webhooks/{webhook}           - - - - - o s
GET  /ui/organizations                               - u r c m o s
GET  /ui/organizations/new                           - - - - - - s
GET  /ui/{organization}                              - - r c m o s
GET  /ui/{organization}/members                      - - - - m o s
POST /ui/{organization}/members/{grant}/revoke       - - r c m o s
POST /ui/{organization}/members/invitations          - - - - - o s
POST /ui/{organization}/members/invitations/{invitation}/revoke  - - - - - o s
GET  /ui/{organization}/teams                        - - - - m o s
POST /ui/{organization}/teams/{team}                 - - - - m o s
GET  /ui/{organization}/robots                       - - - - - o s
GET  /ui/{organization}/robots/{robot}/tokens        - - - - - o s
POST /ui/{organization}/robots/{robot}/deactivate    - - - - - o s
GET  /ui/{organization}/access                       - - - - - o s
GET  /ui/{organization}/activity                     - - - - - o s
GET  /ui/{organization}/settings                     - - - - - o s
GET  /ui/requests                                    - u r c m o s
GET  /ui/requests/{request}                          - - r - m o s
POST /ui/requests/{request}/answer                   - - r - m o s
GET  /ui/policy                                      - - - - - - s
GET  /ui/{organization}/policy                       - - r c m o s
GET  /ui/mirrors                                     - u r c m o s
GET  /ui/mirrors/new                                 - u r c m o s
GET  /ui/channels/{mirror}/mirror                    - - r c m o s
POST /ui/channels/{mirror}/mirror/act                - - r c m o s
GET  /ui/channels/{mirror}/mirror/settings           - - - - m o s
POST /ui/channels/{mirror}/mirror/end                - - - - m o s
GET  /ui/channels/{mirror}/mirror/runs/{run}         - - r c m o s
GET  /ui/channels/{mirror}/mirror/plans/{plan}       - - r c m o s
GET  /ui/channels/{channel}/bundles                  - - - - m o s
POST /ui/channels/{channel}/bundles/export           - - - - m o s
POST /ui/channels/{channel}/bundles/import           - - - - m o s
GET  /ui/channels/{gap}/bundles/imports/{import}  - - - - m o s
GET  /ui/environments                                a u r c m o s
GET  /ui/environments/new                            - u r c m o s
POST /ui/environments/check                          - u r c m o s
POST /ui/environments/pick                           - u r c m o s
GET  /ui/environments/holding                        a u r c m o s
GET  /ui/environment-settings                        - - - - - - s
GET  /ui/{organization}/environment-settings         - - - - - o s
GET  /ui/{organization}/environments                 - - r c m o s
GET  /ui/{organization}/environments/{open_environment}  a u r c m o s
GET  /ui/{organization}/environments/{environment}   - - r c m o s
POST /ui/{organization}/environments/{environment}/act  - - - c m o s
GET  /ui/{organization}/environments/{environment}/edit  - - - c m o s
GET  /ui/{organization}/environments/{environment}/builds  - - r c m o s
GET  /ui/{organization}/environments/{environment}/builds/{number}  - - r c m o s
GET  /ui/{organization}/environments/{environment}/builds/{number}/live  - - r c m o s
POST /ui/{organization}/environments/{environment}/builds/{number}/act  - - r c m o s
POST /ui/{organization}/environments/{environment}/builds/{number}/make  - - r c m o s
GET  /ui/{organization}/environments/{environment}/diff?before=1&after=2  - - r c m o s
GET  /ui/{organization}/environments/{environment}/packages  - - r c m o s
GET  /ui/{organization}/environments/{environment}/spec  - - r c m o s
GET  /ui/{organization}/environments/{environment}/artifacts  - - r c m o s
GET  /ui/{organization}/environments/{environment}/members  - - - - m o s
POST /ui/{organization}/environments/{environment}/members/{environment_grant}/revoke  - - - - m o s
GET  /ui/{organization}/environments/{environment}/activity  - - - - - o s
GET  /ui/{organization}/environments/{environment}/settings  - - - c m o s
GET  /ui/channels                                    a u r c m o s
GET  /ui/channels/new                                - u r c m o s
GET  /ui/channels/new/virtual                        - u r c m o s
GET  /ui/channels/{virtual}/union                    - - r c m o s
GET  /ui/channels/{virtual}/union/names              - - r c m o s
POST /ui/channels/{virtual}/union/change             - - - - m o s
GET  /ui/channels/{public}                           a u r c m o s
GET  /ui/channels/{channel}                          - - r c m o s
GET  /ui/channels/{channel}/packages/{package}       - - r c m o s
GET  /ui/channels/{channel}/packages/{package}/needed-by  - - r c m o s
GET  /ui/channels/{channel}/packages/{package}/copy  - - r c m o s
POST /ui/channels/{channel}/packages/{package}/change  - - r c m o s
GET  /ui/channels/{channel}/files/{subdir}/{filename}  - - r c m o s
GET  /ui/channels/{channel}/revisions                - - r c m o s
GET  /ui/channels/{channel}/revisions/{number}       - - r c m o s
POST /ui/channels/{channel}/revisions/{number}/keep  - - - - m o s
GET  /ui/channels/{channel}/revisions/{number}/rollback  - - - - m o s
GET  /ui/channels/{channel}/policy                   - - r c m o s
POST /ui/channels/{channel}/policy/release           - - - - m o s
POST /ui/channels/{channel}/policy/waivers/{waiver}/revoke  - - r c m o s
GET  /ui/channels/{channel}/ask                      - - r c m o s
GET  /ui/channels/{channel}/members                  - - - - m o s
POST /ui/channels/{channel}/members/{grant}/revoke   - - - - m o s
GET  /ui/channels/{channel}/readers                  - - - - - o s
GET  /ui/channels/{channel}/activity                 - - - - - o s
GET  /ui/channels/{channel}/settings                 - - - - m o s
POST /ui/channels/{channel}/settings/rename          - - - - - o s
POST /ui/channels/{channel}/settings/delete          - - - - - o s
GET  /ui/channels/{channel}/upload                   - - - c m o s
POST /ui/channels/{channel}/upload/token             - - - c m o s
POST /ui/channels/{channel}/upload/token/{token}/revoke  - - - - - o -
"""
BELOW_UI: list[URLPattern | URLResolver] = [
    *portal_urls.urlpatterns,
    *urls_wide.urlpatterns,
    *mirror_urls.urlpatterns,
    *environment_urls.urlpatterns,
]
MOST_QUERIES = 12
# A link that is used up by looking, and the page that tries a roll back out to tell what it would do.
TRIES = ("/invitation/{key}", "/rollback")
COLUMNS = ("", "outsider", "reader", "contributor", "maintainer", "owner", "staff")


def rows() -> list[tuple[str, str, list[str]]]:
    made = []
    for line in TABLE.strip().splitlines():
        method, path, *cells = line.split()
        assert len(cells) == len(COLUMNS), line
        made.append((method, path, cells))
    return made


def addresses(patterns: list[URLPattern | URLResolver], prefix: str) -> set[str]:
    return {re.sub(r"<[^>]+>", "{}", prefix + str(pattern.pattern)) for pattern in patterns}


def test_every_page_has_its_row() -> None:
    in_table = {re.sub(r"{\w+}", "{}", path.partition("?")[0]) for _, path, _ in rows()}
    in_urls = addresses(BELOW_UI, "/ui/")
    in_urls |= addresses(list(channel_urls.urlpatterns), "/ui/channels")
    assert in_urls - in_table == set(), "these have no row"
    assert in_table - in_urls == set(), "these rows have no page"


def test_no_organization_can_be_called_like_a_page() -> None:
    firsts = {str(pattern.pattern).split("/")[0] for pattern in BELOW_UI} | {"channels"}
    assert {word for word in firsts if word and "<" not in word} <= RESERVED_NAMES


@pytest.fixture
def values(world: World, settings: Settings) -> dict[str, str]:
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = ["127.0.0.1"]
    owner = Actor.of(world.people["owner"])
    services.create_team(actor=owner, organization=world.acme, slug="core")
    services.create_robot(actor=owner, organization=world.acme, name="bot")
    job = Job.objects.create(kind="hub.gc", lane="quick", organization=world.acme)
    token = services.create_token(actor=owner, name="hers", scopes=["read"]).token
    given = services.grant(actor=owner, on=world.inner, role="reader", user=services.create_user(actor=SYSTEM, username="visiting"))
    found = {"organization": "acme", "channel": "inner", "public": "outer", "package": "inside", "subdir": "noarch", "number": "1"}
    found |= {"filename": "inside-1.0-0.conda", "job": str(job.pk), "token": str(token.pk), "grant": str(given.pk)}
    wanted, _ = ask(actor=Actor.of(world.people["reader"]), channel=world.inner, spec="numpy", reason="for the report")
    until = timezone.now() + timedelta(days=1)
    waived = waive(actor=owner, scope=Scope.of_channel(world.inner), what="numpy", reason="for the report", expires_at=until)
    hook = create_webhook(actor=owner, organization=world.acme, name="chat", url="http://127.0.0.1:9/hook", types=["*"]).webhook
    wish = subscribe(actor=owner, types=["*"], way="inbox")
    found |= {"webhook": str(hook.pk), "subscription": str(wish.pk)}
    found["gap"] = "gap"
    found["import"] = str(begin_import(actor=owner, channel=create_channel(actor=owner, organization=world.acme, name="gap")).pk)
    create_virtual(actor=owner, organization=world.acme, name="union", members=["inner", "outer"])
    found["virtual"] = "union"
    settings.CONDAHUB_EMAIL_ENABLED = True
    invited = services.invite(actor=owner, organization=world.acme, email="new@example.org", role="reader")
    found |= {"invitation": str(invited.pk), "key": generate("invite")}
    Invitation.objects.filter(pk=invited.pk).update(hash=hash_of(found["key"]))
    upstream = [UpstreamSpec(url="http://127.0.0.1:9/main")]
    mirror = create_mirror(actor=owner, organization=world.acme, name="follows", upstreams=upstream, settings={"subdirs": ["noarch"]})
    run = SyncRun.objects.create(mirror=mirror, started_at=timezone.now(), state="ok")
    found |= {"mirror": "follows", "run": str(run.pk), "plan": str(ask_plan(actor=owner, mirror=mirror).pk)}
    environments = make_environments(world)
    found |= {"environment": environments["environment"], "open_environment": environments["open"]}
    found["environment_grant"] = str(environments["environment_grant"])
    return found | {"team": "core", "robot": "bot", "request": str(wanted.pk), "waiver": str(waived.pk)}


def test_who_looks_at_which_page(world: World, visit: type[Visitor], values: dict[str, str]) -> None:
    clients = {who: visit(world, who).client for who in COLUMNS}
    for method, path, cells in rows():
        if method == "GET":
            for who, cell in zip(COLUMNS, cells, strict=True):
                _judge(clients[who].get(path.format(**values)), path, who, cell)


def test_no_page_takes_more_queries_than_a_page_may(world: World, visit: type[Visitor], values: dict[str, str]) -> None:
    """Of every page there is: a page without a row in the table fails above. What single pages take is in the baseline."""
    client = visit(world, "owner").client
    client.get("/ui/")
    many = {}
    for method, path, cells in rows():
        if method == "GET" and cells[COLUMNS.index("owner")] == "o" and not path.endswith(TRIES):
            with CaptureQueriesContext(connection) as captured:
                client.get(path.format(**values))
            if len(captured) > MOST_QUERIES:
                many[path] = [query["sql"][:200] for query in captured.captured_queries]
    assert not many, "\n".join(f"{path}: {len(queries)}\n  " + "\n  ".join(queries) for path, queries in many.items())


@pytest.mark.parametrize(("path", "cells"), [row[1:] for row in rows() if row[0] == "POST"], ids=lambda value: str(value)[:60])
def test_who_comes_through_each_door(world: World, visit: type[Visitor], values: dict[str, str], path: str, cells: list[str]) -> None:
    for who, cell in zip(COLUMNS, cells, strict=True):
        _judge(visit(world, who).client.post(path.format(**values)), path, who, cell)


def _judge(response: HttpResponse, path: str, who: str, cell: str) -> None:
    said = (path, who, response.status_code, response.content[-500:])
    if path == "/ui/" and not who:
        assert (response.status_code, response["Location"]) == (302, "/ui/channels"), said
    elif cell == "-" and not who:
        signs_in = response.status_code == 302 and "/accounts/login/?next=" in response["Location"]
        assert signs_in or response.status_code == 401, said
    elif cell == "-":
        assert response.status_code in (403, 404), said
    else:
        assert response.status_code in (200, 302), said


@pytest.mark.parametrize("who", ["", "outsider"])
def test_no_page_tells_an_outsider_of_what_is_private(world: World, visit: type[Visitor], who: str) -> None:
    visitor = visit(world, who)
    for path in (
        "/ui/channels",
        "/ui/search?q=in",
        "/ui/search?q=inner",
        "/ui/channels/outer",
        "/ui/channels?q=inn",
        "/ui/channels?organization=acme",
    ):
        text = visitor.client.get(path).content.decode()
        told = text.replace(path.replace("&", "&amp;"), "")
        told = re.sub(r'value="[^"]*"|next=[^"]*|“[^”]*”|<title>[^<]*</title>', "", told)
        assert "inner" not in told, path
        assert "inside" not in told, path
    assert "1 channel " in visit(world, "outsider").get("/ui/channels")


def test_hidden_and_unknown_look_the_same(world: World, visit: type[Visitor]) -> None:
    visitor = visit(world, "outsider")

    def told(path: str, status: int) -> str:
        text = visitor.get(path, status)
        return re.sub(r'value="[^"]*"|nonce="[^"]*"', "", text)

    assert told("/ui/channels/inner", 403) == told("/ui/channels/nowhere", 403)
    assert told("/ui/channels/inner/packages/inside", 403) == told("/ui/channels/nowhere/packages/inside", 403)
    assert told("/ui/acme", 404) == told("/ui/nobody", 404)
    make_environments(world)
    for path in ("tools", "tools/builds/1", "tools/diff"):
        assert told(f"/ui/acme/environments/{path}", 403) == told(f"/ui/nobody/environments/{path}", 403)
    job = Job.objects.create(kind="hub.gc", lane="quick", organization=world.acme)
    assert told(f"/ui/jobs/{job.pk}", 404) == told("/ui/jobs/99999999", 404)


def test_nobody_is_sent_to_sign_in_for_both_alike(world: World, visit: type[Visitor]) -> None:
    for path in ("/ui/channels/inner", "/ui/channels/nowhere", "/ui/acme", "/ui/nobody"):
        response = visit(world).client.get(path)
        assert (response.status_code, response["Location"]) == (302, f"/accounts/login/?next={path.replace('/', '%2F')}")


def test_names_of_people_are_told_to_who_is_signed_in_alone(world: World, visit: type[Visitor]) -> None:
    for path in ("/ui/channels/outer/revisions", "/ui/channels/outer/packages/open", "/ui/channels/outer/revisions/1"):
        assert "published by it" not in visit(world).get(path)
        assert "by it" not in visit(world).get(path)
    assert "published by it" in visit(world, "outsider").get("/ui/channels/outer/revisions")


def test_a_session_ends_with_the_account(world: World, visit: type[Visitor]) -> None:
    visitor = visit(world, "reader")
    visitor.get("/ui/channels/inner")
    services.deactivate_user(actor=Actor.of(world.people["staff"]), user=world.people["reader"])
    assert visitor.client.get("/ui/channels/inner").status_code == 302
