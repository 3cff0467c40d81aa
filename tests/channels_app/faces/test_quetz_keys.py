"""API keys: the secret is told once, power is what the roles say and no more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels_app.models import Channel
from condahub.accounts.models import ApiToken
from tests.channels_app.faces.conftest import House

pytestmark = pytest.mark.django_db(transaction=True)


def make(house: House, who: str, roles: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    body = {"description": "for CI", "roles": roles, **more}
    response = house.call("POST", "/api/api-keys", who, body=body)
    assert response.status_code == 201, response.content
    made: dict[str, Any] = json.loads(response.content)
    return made


def test_the_secret_is_told_once(house: House) -> None:
    made = make(house, "owner", [])
    assert house.get("/api/me", token=made["key"])["user"]["username"] == "owner"
    listed = house.call("GET", "/api/api-keys", "owner")
    assert made["key"].encode() not in listed.content
    assert {row["description"] for row in json.loads(listed.content)} == {"for CI", "a key"}
    assert not ApiToken.objects.filter(hash=made["key"]).exists()


def test_no_roles_means_all_of_the_owners_power(house: House, secret: Channel) -> None:
    key = make(house, "owner", [])["key"]
    assert house.call("PATCH", "/api/channels/secret", token=key, body={"ttl": 1}).status_code == 200


def test_roles_are_the_most_a_key_may_do(house: House, secret: Channel) -> None:
    house.channel("other")
    reads = make(house, "owner", [{"channel": "secret", "role": "member"}])
    assert reads["roles"] == [{"channel": "secret", "package": None, "role": "member"}]
    assert house.call("GET", "/get/secret/noarch/repodata.json", token=reads["key"]).status_code == 200
    assert house.call("GET", "/get/other/noarch/repodata.json", token=reads["key"]).status_code == 403
    assert house.call("PATCH", "/api/channels/secret", token=reads["key"], body={"ttl": 1}).status_code == 403
    package = make(house, "owner", [{"channel": "secret", "package": "demo", "role": "maintainer"}])["key"]
    assert house.call("POST", "/api/channels/secret/packages", token=package, body={"name": "demo"}).status_code == 201
    assert house.call("POST", "/api/channels/secret/packages", token=package, body={"name": "other"}).status_code == 403


def test_a_key_of_a_reader_reads(house: House, secret: Channel) -> None:
    key = make(house, "reader", [{"channel": "secret", "role": "owner"}])["key"]
    assert house.call("GET", "/get/secret/noarch/repodata.json", token=key).status_code == 200
    assert house.call("DELETE", "/api/channels/secret", token=key).status_code == 403


def test_a_key_is_not_made_for_what_one_may_not_see(house: House, secret: Channel) -> None:
    hidden, unknown = (
        house.call("POST", "/api/api-keys", "outsider", body={"roles": [{"channel": name, "role": "member"}]})
        for name in ("secret", "none")
    )
    assert hidden.status_code == unknown.status_code == 403 and hidden.content == unknown.content
    assert house.call("POST", "/api/api-keys", body={"roles": []}).status_code == 401


def test_a_key_lives_through_its_last_day(house: House) -> None:
    made = make(house, "owner", [], expire_at="2999-01-31")
    assert made["expire_at"] == "2999-01-31"
    assert ApiToken.objects.get(name="for CI").expires_at.isoformat() == "2999-02-01T00:00:00+00:00"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "body",
    [
        {"expire_at": "2001-01-01"},
        {"expire_at": "soon"},
        {"expire_at": "9999-12-31"},
        {"roles": {}},
        {"roles": ["x"]},
        {"roles": [{"channel": "secret"}]},
        {"roles": [{"role": "owner"}]},
        {"roles": [{"channel": "secret", "role": "king"}]},
    ],
)
def test_a_body_that_makes_no_sense_makes_no_key(house: House, secret: Channel, body: dict[str, Any]) -> None:
    token = house.token("owner")
    before = ApiToken.objects.count()
    assert house.call("POST", "/api/api-keys", token=token, body=body).status_code == 422
    assert ApiToken.objects.count() == before


def test_a_key_is_deleted_by_what_the_list_calls_it_or_by_itself(house: House) -> None:
    for by in ("listed", "secret"):
        made = make(house, "owner", [])
        listed = next(row["key"] for row in house.get("/api/api-keys", "owner") if row["description"] == "for CI")
        assert house.call("DELETE", f"/api/api-keys/{listed if by == 'listed' else made['key']}", "reader").status_code == 404
        assert house.call("DELETE", f"/api/api-keys/{listed if by == 'listed' else made['key']}", "owner").status_code == 200
        assert house.call("GET", "/api/me", token=made["key"]).status_code == 401
        assert [row["description"] for row in house.get("/api/api-keys", "owner")] == ["a key"]


def test_a_narrow_key_neither_lists_nor_makes_others(house: House) -> None:
    narrow = house.token("owner", scopes=["upload"])
    assert house.call("GET", "/api/api-keys", token=narrow).status_code == 403
    assert house.call("POST", "/api/api-keys", token=narrow, body={"roles": []}).status_code == 403
