"""Members of channels and packages: Quetz's three roles are grants."""

from __future__ import annotations

import json

import pytest

from channels_app.models import Channel
from condahub.accounts.models import Grant, User
from condahub.accounts.services import grant
from tests.channels_app.faces.conftest import House

pytestmark = pytest.mark.django_db(transaction=True)
MEMBERS = "/api/channels/secret/members"


def roles(house: House, path: str = MEMBERS) -> dict[str, str]:
    return {member["user"]["username"]: member["role"] for member in house.get(path, "owner")}


def test_members_are_all_with_a_role_each_with_the_strongest(house: House, secret: Channel) -> None:
    expected = {"reader": "member", "contributor": "member", "maintainer": "maintainer", "owner": "owner"}
    assert roles(house) == expected
    grant(actor=house.staff, on=secret, role="owner", user=User.objects.get(username="reader"))
    assert roles(house) == {**expected, "reader": "owner"}


def test_a_member_has_quetz_fields(house: House, secret: Channel) -> None:
    member = house.get(MEMBERS, "owner")[0]
    assert set(member) == {"role", "user"} and set(member["user"]) == {"id", "username", "profile"}
    assert set(member["user"]["profile"]) == {"name", "avatar_url"}


def test_members_are_seen_by_maintainers_and_changed_by_owners(house: House, secret: Channel) -> None:
    assert house.call("GET", MEMBERS, "reader").status_code == 403
    assert house.call("GET", MEMBERS, "maintainer").status_code == 200
    body = {"username": "outsider", "role": "member"}
    assert house.call("POST", MEMBERS, "maintainer", body=body).status_code == 403
    assert house.call("POST", MEMBERS, "owner", body=body).status_code == 201
    assert house.call("DELETE", f"{MEMBERS}?username=outsider", "maintainer").status_code == 403


@pytest.mark.parametrize(("role", "hub_role"), [("member", "reader"), ("maintainer", "maintainer"), ("owner", "owner")])
def test_a_role_given_acts_and_is_replaced_and_taken_away(house: House, secret: Channel, role: str, hub_role: str) -> None:
    assert house.call("GET", "/api/channels/secret", "outsider").status_code == 403
    assert house.call("POST", MEMBERS, "owner", body={"username": "outsider", "role": "member"}).status_code == 201
    assert house.call("POST", MEMBERS, "owner", body={"username": "outsider", "role": role}).status_code == 201
    assert list(Grant.objects.filter(channel_id=secret.pk).values_list("role", flat=True)) == [hub_role]
    assert roles(house)["outsider"] == role
    assert house.call("GET", "/api/channels/secret", "outsider").status_code == 200
    assert house.call("DELETE", f"{MEMBERS}?username=outsider", "owner").status_code == 200
    assert house.call("GET", "/api/channels/secret", "outsider").status_code == 403
    assert house.call("DELETE", f"{MEMBERS}?username=outsider", "owner").status_code == 404


def test_a_role_of_the_organization_is_not_taken_away_here(house: House, secret: Channel) -> None:
    response = house.call("DELETE", f"{MEMBERS}?username=reader", "owner")
    assert response.status_code == 409 and json.loads(response.content)["code"] == "inherited_role"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"username": "outsider", "role": "king"}, 422),
        ({"username": "outsider", "role": None}, 422),
        ({"role": "member"}, 422),
        ({"username": "nobody", "role": "member"}, 404),
    ],
)
def test_a_body_that_makes_no_sense_changes_nothing(house: House, secret: Channel, body: dict[str, str | None], status: int) -> None:
    assert house.call("POST", MEMBERS, "owner", body=body).status_code == status
    assert not Grant.objects.filter(channel_id=secret.pk).exists()


def test_a_member_of_a_package_publishes_that_package_alone(house: House, secret: Channel) -> None:
    members = "/api/channels/secret/packages/demo/members"
    assert house.call("POST", members, "maintainer", body={"username": "outsider", "role": "maintainer"}).status_code == 403
    assert house.call("POST", members, "owner", body={"username": "outsider", "role": "maintainer"}).status_code == 201
    assert roles(house, members) == {"outsider": "maintainer"}
    assert Grant.objects.get(package_name="demo").role == "contributor"
    assert house.call("POST", "/api/channels/secret/packages", "outsider", body={"name": "demo"}).status_code == 201
    assert house.call("POST", "/api/channels/secret/packages", "outsider", body={"name": "other"}).status_code == 403
    assert "outsider" not in roles(house)


def test_a_personal_channel_lists_its_owner_and_is_not_shared(house: House) -> None:
    house.call("POST", "/api/channels", "outsider", body={"name": "mine"})
    listed = house.get("/api/channels/mine/members", "outsider")
    assert [(one["user"]["username"], one["role"]) for one in listed] == [("outsider", "owner")]
    response = house.call("POST", "/api/channels/mine/members", "outsider", body={"username": "reader", "role": "member"})
    assert response.status_code == 409
