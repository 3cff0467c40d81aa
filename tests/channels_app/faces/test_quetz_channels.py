"""Channels through Quetz's API: exactly its fields, only what the asker may see, where a new one goes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels_app.faces.quetz import mirrors
from channels_app.models import Channel
from condahub.accounts.actors import Limit
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.accounts.services import create_robot, create_token, grant
from condahub.api import probing
from tests.channels_app.faces.conftest import House

pytestmark = pytest.mark.django_db(transaction=True)
CHANNEL_FIELDS = {
    "name",
    "description",
    "private",
    "size_limit",
    "ttl",
    "mirror_channel_url",
    "mirror_mode",
    "members_count",
    "packages_count",
}


def names(listed: Any) -> list[str]:
    return [one["name"] for one in (listed["result"] if isinstance(listed, dict) else listed)]


def test_a_channel_has_exactly_quetz_fields(house: House, secret: Channel) -> None:
    said = house.get("/api/channels/secret", "owner")
    assert set(said) == CHANNEL_FIELDS
    assert said["private"] is True and said["ttl"] == 36000 and said["size_limit"] is None and said["packages_count"] == 0
    assert said["members_count"] == 4
    listed = house.get("/api/paginated/channels", "owner")
    assert listed["pagination"] == {"skip": 0, "limit": 20, "all_records_count": 1}
    assert listed["result"] == [said]


def test_members_are_counted_for_those_alone_who_may_list_them(house: House, secret: Channel) -> None:
    assert house.get("/api/channels/secret", "reader")["members_count"] == 0
    assert house.get("/api/channels/secret", "maintainer")["members_count"] == 4


def test_lists_hold_what_the_asker_may_see_and_count_nothing_else(house: House, secret: Channel) -> None:
    house.channel("open", "public")
    house.channel("inside", "internal")
    seen = {
        "": ["open"],
        "outsider": ["inside", "open"],
        "reader": ["inside", "open", "secret"],
        "staff": ["inside", "open", "secret"],
    }
    for who, expected in seen.items():
        assert names(house.get("/api/channels", who)) == expected
        page = house.get("/api/paginated/channels?limit=1", who)
        assert page["pagination"]["all_records_count"] == len(expected) and names(page) == expected[:1]
    assert names(house.get("/api/channels?public=False", "reader")) == ["inside", "secret"]
    assert names(house.get("/api/channels?q=sec", "reader")) == ["secret"]
    assert names(house.get("/api/channels?q=sec", "outsider")) == []


def test_a_limited_token_lists_only_where_it_may_act(house: House, secret: Channel) -> None:
    house.channel("other")
    house.channel("inside", "internal")
    token = house.token("owner", limits=[Limit(house.organization.pk, secret.pk, "", "")])
    assert names(house.get("/api/channels", token=token)) == ["secret"]


def test_pages_go_on_until_they_are_empty(house: House) -> None:
    for number in range(5):
        house.channel(f"channel-{number}", "public")
    pages = [names(house.get(f"/api/paginated/channels?skip={skip}&limit=2")) for skip in (0, 2, 4, 6)]
    assert pages == [["channel-0", "channel-1"], ["channel-2", "channel-3"], ["channel-4"], []]


@pytest.mark.parametrize(
    "query", ["skip=-1", "limit=-2", "limit=x", "skip=99999999999999999999", "limit=1e3", "q=%00", "q=nokey:x", "public=perhaps"]
)
def test_a_query_that_makes_no_sense_is_422(house: House, query: str) -> None:
    assert house.call("GET", f"/api/paginated/channels?{query}").status_code == 422


@pytest.mark.parametrize(("who", "status"), [("", 401), ("outsider", 403)])
@pytest.mark.parametrize("path", ["", "/members", "/packages", "/packages/x", "/packages/x/versions", "/mirrors"])
def test_hidden_and_unknown_channels_answer_alike(house: House, secret: Channel, who: str, status: int, path: str) -> None:
    hidden, unknown = (house.call("GET", f"/api/channels/{name}{path}", who) for name in ("secret", "unknown"))
    assert hidden.status_code == unknown.status_code == status
    assert hidden.content == unknown.content


def test_a_new_channel_goes_to_the_personal_organization(house: House) -> None:
    assert house.call("POST", "/api/channels", "outsider", body={"name": "mine", "description": "d", "private": False}).status_code == 201
    channel = Channel.objects.get(name="mine")
    assert channel.organization == Organization.objects.get(personal_of__username="outsider")
    assert (channel.visibility, channel.description) == ("public", "d")


def test_a_new_channel_is_private_unless_it_says_otherwise(house: House) -> None:
    assert house.call("POST", "/api/channels", "outsider", body={"name": "mine"}).status_code == 201
    assert Channel.objects.get(name="mine").visibility == "private"


def test_a_new_channel_goes_where_the_address_says(house: House) -> None:
    assert house.call("POST", "/api/channels?organization=acme", "maintainer", body={"name": "ours"}).status_code == 201
    assert Channel.objects.get(name="ours").organization == house.organization
    refused = house.call("POST", "/api/channels?organization=acme", "outsider", body={"name": "theirs"})
    unknown = house.call("POST", "/api/channels?organization=nothing", "outsider", body={"name": "theirs"})
    assert refused.status_code == unknown.status_code == 403 and refused.content == unknown.content


def test_a_new_channel_goes_to_the_tokens_organization_first(house: House) -> None:
    limited = house.token("owner", limits=[Limit(house.organization.pk, None, "", "")])
    assert house.call("POST", "/api/channels", token=limited, body={"name": "ours"}).status_code == 201
    assert Channel.objects.get(name="ours").organization == house.organization
    assert house.call("POST", "/api/channels?organization=owner", token=limited, body={"name": "else"}).status_code == 403
    owner = Actor.of(User.objects.get(username="owner"))
    robot = create_robot(actor=owner, organization=house.organization, name="ci")
    grant(actor=owner, on=house.organization, role="maintainer", user=robot)
    token = create_token(actor=owner, owner=robot, name="ci", scopes=["full"]).secret
    assert house.call("POST", "/api/channels", token=token, body={"name": "machines"}).status_code == 201
    assert Channel.objects.get(name="machines").organization == house.organization


@pytest.mark.parametrize("name", ["secret", "search", "conda-forge"])
def test_a_taken_reserved_or_well_known_name_answers_alike(house: House, secret: Channel, name: str) -> None:
    response = house.call("POST", "/api/channels", "outsider", body={"name": name})
    assert response.status_code == 409 and json.loads(response.content)["code"] == "name_unavailable"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": 5},
        {"name": "Not A Name"},
        {"name": "ok", "private": "yes"},
        {"name": "ok", "metadata": []},
        {"name": "ok", "ttl": -1},
        [],
        {"name": "a\x00b"},
    ],
)
def test_a_body_that_makes_no_sense_makes_nothing(house: House, body: Any) -> None:
    assert house.call("POST", "/api/channels", "outsider", body=body).status_code == 422
    assert not Channel.objects.exists()


@pytest.mark.parametrize("raw", [b"{", b"\xff", b'{"name": "\\ud800"}', b"[" * 5000])
def test_a_body_that_is_no_json_is_422(house: House, raw: bytes) -> None:
    assert house.call("POST", "/api/channels", "outsider", body=raw).status_code == 422


def test_a_channel_that_can_not_have_its_size_limit_is_not_made(house: House) -> None:
    assert house.call("POST", "/api/channels", "outsider", body={"name": "mine", "size_limit": 5}).status_code == 403
    assert not Channel.objects.exists()
    assert (
        house.call("POST", "/api/channels?organization=acme", "staff", body={"name": "mine", "size_limit": 5, "ttl": 60}).status_code == 201
    )
    assert Channel.objects.values_list("quota_bytes", "ttl_seconds").get() == (5, 60)


def test_patch_changes_the_four_settings_that_quetz_changes(house: House, secret: Channel) -> None:
    changed = house.call("PATCH", "/api/channels/secret", "maintainer", body={"private": False, "ttl": 5, "metadata": {"a": 1}})
    assert changed.status_code == 200 and json.loads(changed.content)["private"] is False
    secret.refresh_from_db()
    assert (secret.visibility, secret.ttl_seconds, secret.metadata) == ("public", 5, {"a": 1})
    assert house.call("PATCH", "/api/channels/secret", "staff", body={"size_limit": 7}).status_code == 200
    assert house.call("PATCH", "/api/channels/secret", "staff", body={"size_limit": None}).status_code == 200
    assert house.call("PATCH", "/api/channels/secret", "owner", body={"size_limit": 7}).status_code == 403
    assert house.call("PATCH", "/api/channels/secret", "contributor", body={"ttl": 7}).status_code == 403
    for body in ({"name": "other"}, {"private": None}, {"ttl": "long"}, {"ttl": True}, {"size_limit": -5}):
        assert house.call("PATCH", "/api/channels/secret", "staff", body=body).status_code == 422


def test_saying_private_again_leaves_an_internal_channel_as_it_is(house: House) -> None:
    house.channel("inside", "internal")
    assert house.call("PATCH", "/api/channels/inside", "owner", body={"private": True}).status_code == 200
    assert Channel.objects.get().visibility == "internal"


def test_delete_takes_the_channel_away(house: House, secret: Channel) -> None:
    assert house.call("DELETE", "/api/channels/secret", "maintainer").status_code == 403
    response = house.call("DELETE", "/api/channels/secret", "owner")
    assert (response.status_code, response.content) == (200, b"null")
    assert house.call("GET", "/api/channels/secret", "owner").status_code == 403


def test_mirrors_are_501_with_a_sentence_where_nothing_mirrors(house: House, secret: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "_registered", None)
    for method, path, body in (
        ("POST", "/api/channels", {"name": "copy", "mirror_channel_url": "https://example.org/c", "mirror_mode": "mirror"}),
        ("GET", "/api/channels/secret/mirrors", None),
        ("POST", "/api/channels/secret/mirrors", {"url": "https://example.org"}),
        ("DELETE", "/api/channels/secret/mirrors/1", None),
    ):
        response = house.call(method, path, "owner", body=body)
        assert response.status_code == 501 and json.loads(response.content)["code"] == "no_mirrors"
    assert not Channel.objects.filter(name="copy").exists()


def test_every_answer_is_kept_out_of_shared_caches(house: House, secret: Channel) -> None:
    assert "no-store" in house.call("GET", "/api/channels", "owner")["Cache-Control"]
    assert "no-store" in house.call("GET", "/api/channels/secret")["Cache-Control"]


def test_another_method_is_405_with_those_that_are_allowed(house: House) -> None:
    response = house.call("PUT", "/api/channels/secret", "owner")
    assert response.status_code == 405 and response["Allow"] == "DELETE, GET, HEAD, PATCH"


def test_who_tries_name_after_name_is_slowed_down(house: House, secret: Channel) -> None:
    statuses = [house.call("POST", "/api/channels", "outsider", body={"name": "secret"}).status_code for _ in range(probing.MAX_PROBES + 1)]
    assert statuses == [409] * probing.MAX_PROBES + [429]
    assert house.call("POST", "/api/channels", "reader", body={"name": "mine"}).status_code == 201
