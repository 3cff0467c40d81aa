"""Channels over the REST API: found, made, changed, closed; and never shown to who may not see them."""

from __future__ import annotations

import pytest

from channels_app.services.channels import create_channel
from condahub.accounts import services
from condahub.accounts.policy import Actor
from tests.api.conftest import Api, World
from tests.queries import counted

pytestmark = pytest.mark.django_db


def names(page: dict) -> list[str]:
    return [row["name"] for row in page["results"]]


def test_a_list_holds_what_the_asker_may_read_and_counts_nothing_else(world: World) -> None:
    assert names(Api().get("channels")) == ["outer"]
    assert Api().get("channels")["count"] == 1
    assert names(world.api("outsider").get("channels")) == ["outer"]
    assert names(world.api("reader").get("channels")) == ["inner", "outer"]
    assert names(world.api("staff").get("channels", visibility="private")) == ["inner"]
    assert names(world.api("reader").get("channels", q="inn")) == ["inner"]
    assert names(world.api("outsider").get("channels", q="inn", organization="acme")) == []


def test_a_limited_token_lists_and_finds_nothing_beyond_its_limits(world: World) -> None:
    staff = Actor.of(world.people["staff"])
    labs = services.create_organization(actor=staff, name="labs")
    create_channel(actor=staff, organization=labs, name="in-labs", visibility="internal")
    create_channel(actor=staff, organization=world.acme, name="in-acme", visibility="internal")
    assert names(world.api("owner").get("channels", visibility="internal")) == ["in-acme", "in-labs"]
    made = world.api("owner").do("POST", "tokens", {"name": "x", "scopes": ["read"], "organizations": ["acme"]}, 201)
    limited = Api(made["secret"])
    assert names(limited.get("channels")) == ["in-acme", "inner", "outer"]
    assert limited.get("search", q="in-labs")["count"] == 0
    assert limited("GET", "channels/in-labs").status_code == 403
    only_inner = world.api("owner").do("POST", "tokens", {"name": "x", "scopes": ["read"], "channels": ["inner"]}, 201)
    assert names(Api(only_inner["secret"]).get("channels")) == ["inner", "outer"]


def test_a_channel_tells_what_it_is(world: World) -> None:
    found = world.api("reader").get("channels/inner")
    assert (found["organization"], found["visibility"], found["kind"], found["packages_count"]) == ("acme", "private", "hosted", 1)
    assert found["revision"] == 3
    assert found["used_bytes"] > 0
    assert found["url"].endswith("/channels/inner")


def test_a_hidden_and_an_unknown_channel_answer_alike(world: World) -> None:
    for who, status in (("", 401), ("outsider", 403)):
        hidden, unknown = (world.api(who)("GET", f"channels/{name}") for name in ("inner", "nowhere"))
        assert hidden.status_code == unknown.status_code == status
        assert hidden.content == unknown.content


def test_a_maintainer_makes_changes_and_an_owner_closes_a_channel(world: World) -> None:
    maintainer, owner = world.api("maintainer"), world.api("owner")
    made = maintainer.do("POST", "channels", {"organization": "acme", "name": "fresh", "description": "New."}, 201)
    assert (made["name"], made["visibility"], made["packages_count"]) == ("fresh", "private", 0)
    assert maintainer.do("PATCH", "channels/fresh", {"visibility": "internal"})["visibility"] == "internal"
    assert maintainer("DELETE", "channels/fresh").status_code == 403
    assert owner.do("POST", "channels/fresh/rename", {"name": "fresher"})["name"] == "fresher"
    assert owner.get("channels/fresh")["name"] == "fresher", "the old name goes on answering"
    assert owner("DELETE", "channels/fresher").status_code == 204
    assert owner("GET", "channels/fresher").status_code == 403
    assert owner.do("POST", "channels/fresher/restore")["name"] == "fresher"


def test_without_an_organization_a_channel_goes_to_ones_own(world: World) -> None:
    made = world.api("outsider").do("POST", "channels", {"name": "mine"}, 201)
    assert made["organization"] == "outsider"
    assert world.api("outsider")("POST", "channels", {"name": "theirs", "organization": "acme"}).status_code == 403
    assert world.api("outsider")("POST", "channels", {"name": "theirs", "organization": "nowhere"}).status_code == 403


def test_quotas_are_for_staff(world: World) -> None:
    assert world.api("owner")("PATCH", "channels/inner", {"quota_bytes": 5}).status_code == 403
    assert world.api("staff").do("PATCH", "channels/inner", {"quota_bytes": 5})["quota_bytes"] == 5


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Upper"},
        {"name": 7},
        {"name": "a\x00b"},
        {"name": "x" * 65},
        {"name": None},
        {},
        {"name": "fine", "visibility": "secret"},
        {"name": "fine", "allow_overwrite": "yes"},
        {"name": "fine", "metadata": [1]},
        {"name": "fine", "metadata": {"a": "\x00"}},
        {"name": "fine", "surprise": 1},
        {"name": "fine", "organization": ["acme"]},
        ["fine"],
        "fine",
    ],
)
def test_a_body_that_is_wrong_is_answered_with_a_sentence(world: World, body: object) -> None:
    import json

    response = world.api("owner")("POST", "channels", json.dumps(body))
    assert response.status_code in (400, 422), response.content
    assert set(response.json()) == {"code", "detail", "hint"}
    assert response.json()["detail"]


@pytest.mark.parametrize(
    "values", [{"ttl_seconds": 2**80}, {"ttl_seconds": -1}, {"keep_builds": 1.5}, {"keep_builds": True}, {"ttl_seconds": None}]
)
def test_numbers_out_of_range_are_refused(world: World, values: dict) -> None:
    assert world.api("owner")("PATCH", "channels/inner", values).status_code == 400


@pytest.mark.parametrize(
    "query",
    [{"visibility": "no"}, {"ordering": "secret"}, {"page": "x"}, {"page": "0"}, {"page": "9" * 30}, {"page_size": "-1"}, {"q": "\x00"}],
)
def test_a_bad_query_says_what_is_wrong(world: World, query: dict) -> None:
    response = world.api("reader").client.get("/api/hub/v1/channels", query_params=query)
    assert response.status_code == 400
    assert next(iter(query)) in response.json()["detail"]


def test_pages_and_order(world: World) -> None:
    for number in range(3):
        create_channel(actor=Actor.of(world.people["staff"]), organization=world.acme, name=f"many-{number}", visibility="public")
    first = Api().get("channels", page_size=2, ordering="-name")
    assert (first["count"], names(first), first["previous"]) == (4, ["outer", "many-2"], None)
    assert names(Api().get("channels", page_size=2, ordering="-name", page=2)) == ["many-1", "many-0"]
    assert len(Api().get("channels", page_size=100_000)["results"]) == 4


def test_a_list_takes_the_same_queries_however_long_it_is(world: World) -> None:
    reader = world.api("reader")
    reader.get("channels")
    with counted("api channels"):
        reader.get("channels")
    for number in range(5):
        create_channel(actor=Actor.of(world.people["staff"]), organization=world.acme, name=f"many-{number}")
    cache_warm = reader.get("channels")
    assert cache_warm["count"] == 7
    with counted("api channels"):
        reader.get("channels")


def test_downloads_are_counted_by_period(world: World) -> None:
    from datetime import date

    from channels_app.models import DownloadCount, PackageFile

    file = PackageFile.objects.get(channel=world.outer)
    for day, count in ((date(2026, 1, 30), 2), (date(2026, 2, 1), 3), (date(2026, 2, 2), 4)):
        DownloadCount.objects.create(file=file, day=day, count=count)
    by_day = Api().get("channels/outer/downloads", start="2026-01-30", end="2026-02-01")
    assert by_day["total"] == 5
    assert by_day["series"] == [{"start": "2026-01-30", "count": 2}, {"start": "2026-02-01", "count": 3}]
    by_month = Api().get("channels/outer/downloads", start="2026-01-01", end="2026-12-31", period="M")
    assert by_month["series"] == [{"start": "2026-01-01", "count": 2}, {"start": "2026-02-01", "count": 7}]
    assert Api().get("channels/outer/downloads", start="2026-01-01", end="2026-12-31", filename="other")["total"] == 0
    for bad in ({"period": "W"}, {"start": "x"}, {"start": "2026-02-01", "end": "2026-01-01"}, {"start": "0001-01-01"}):
        assert Api().client.get("/api/hub/v1/channels/outer/downloads", query_params=bad).status_code == 400


def test_trying_names_one_after_the_other_is_slowed_down(world: World) -> None:
    outsider = world.api("outsider")
    statuses = {outsider("POST", "channels", {"name": "inner"}).status_code for _ in range(20)}
    assert statuses == {409}
    slowed = outsider("POST", "channels", {"name": "inner"})
    assert slowed.status_code == 429
    assert slowed.headers["Retry-After"]
    assert world.api("owner")("POST", "channels", {"name": "inner"}).status_code == 409, "others are not slowed down"
