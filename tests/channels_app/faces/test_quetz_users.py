"""Users through Quetz's API: who sees whom, and who makes whom staff."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from channels_app.models import Channel
from condahub.accounts.models import User
from condahub.accounts.services import grant
from tests.channels_app.faces.conftest import House

pytestmark = pytest.mark.django_db(transaction=True)


def usernames(house: House, who: str, query: str = "") -> list[str]:
    return [user["username"] for user in house.get(f"/api/users{query}", who)]


def test_people_see_themselves_and_those_of_their_organizations(house: House) -> None:
    assert usernames(house, "outsider") == ["outsider"]
    assert usernames(house, "reader") == ["contributor", "maintainer", "owner", "reader"]
    assert usernames(house, "staff") == ["contributor", "maintainer", "outsider", "owner", "reader", "staff"]
    assert usernames(house, "reader", "?q=own") == ["owner"]
    assert house.call("GET", "/api/users").status_code == 401
    page = house.get("/api/paginated/users?q=&limit=2", "outsider")
    assert page["pagination"]["all_records_count"] == 1


def test_a_user_has_exactly_quetz_fields(house: House) -> None:
    user = house.get("/api/users/owner", "reader")
    assert set(user) == {"id", "username", "profile"} and isinstance(user["id"], str)
    assert house.get("/api/paginated/users?q=owner", "reader")["result"] == [user]


def test_somebody_hidden_answers_as_nobody_does(house: House) -> None:
    for path in ("/api/users/{}", "/api/users/{}/role"):
        hidden, unknown = (house.call("GET", path.format(name), "outsider") for name in ("owner", "nobody"))
        assert hidden.status_code == unknown.status_code
        assert hidden.content.replace(b"'owner'", b"'nobody'") == unknown.content


def test_a_role_on_one_channel_shows_nobody_else(house: House, secret: Channel) -> None:
    grant(actor=house.staff, on=secret, role="reader", user=User.objects.get(username="outsider"))
    assert usernames(house, "outsider") == ["outsider"]


def test_me_is_whose_token_it_is(house: House) -> None:
    assert house.get("/api/me", "reader")["user"]["username"] == "reader"
    assert house.call("GET", "/api/me").status_code == 401


def test_server_roles_are_seen_by_oneself_and_staff(house: House) -> None:
    assert house.get("/api/users/reader/role", "reader") == {"role": "member"}
    assert house.get("/api/users/staff/role", "staff") == {"role": "owner"}
    assert house.call("GET", "/api/users/owner/role", "reader").status_code == 403


@pytest.mark.parametrize(("role", "flags"), [("owner", (True, True)), ("maintainer", (True, False)), ("member", (False, False))])
def test_administrators_give_server_roles(house: House, role: str, flags: tuple[bool, bool]) -> None:
    assert house.call("PUT", "/api/users/reader/role", "staff", body={"role": role}).status_code == 200
    user = User.objects.get(username="reader")
    assert (user.is_staff, user.is_superuser) == flags
    assert house.get("/api/users/reader/role", "staff") == {"role": role}


@pytest.mark.parametrize(("who", "status"), [("", 401), ("reader", 403), ("owner", 403)])
def test_nobody_else_gives_server_roles(house: House, who: str, status: int) -> None:
    for name in ("reader", "owner", "nobody"):
        assert house.call("PUT", f"/api/users/{name}/role", who, body={"role": "owner"}).status_code == status
    assert User.objects.filter(is_staff=True).count() == 1


@pytest.mark.parametrize("role", [None, "king", 5, ["owner"]])
def test_a_role_that_is_none_is_422(house: House, role: object) -> None:
    assert house.call("PUT", "/api/users/reader/role", "staff", body={"role": role}).status_code == 422


def test_deleting_a_user_deactivates_it(house: House) -> None:
    token = house.token("reader")
    assert house.call("DELETE", "/api/users/reader", "owner").status_code == 403
    assert house.call("DELETE", "/api/users/reader", "staff").status_code == 200
    assert house.call("GET", "/api/me", token=token).status_code == 401
    assert house.get("/api/users/reader/role", "staff") == {"role": None}


def test_channels_and_packages_of_a_user(house: House, secret: Channel, package: Callable[..., Path]) -> None:
    grant(actor=house.staff, on=secret, role="maintainer", user=User.objects.get(username="outsider"))
    listed = house.get("/api/users/outsider/channels", "outsider")
    assert [(one["name"], one["role"]) for one in listed] == [("secret", "maintainer")]
    assert house.get("/api/paginated/users/outsider/channels", "outsider")["pagination"]["all_records_count"] == 1
    assert house.get("/api/users/reader/channels", "staff")[0]["role"] == "member"
    assert house.call("GET", "/api/users/reader/channels", "owner").status_code == 403
    assert house.get("/api/users/outsider/packages", "outsider") == []
    house.upload(package())
    on_demo = replace(secret.access_target, package_name="demo")
    grant(actor=house.staff, on=on_demo, role="contributor", user=User.objects.get(username="outsider"))
    (one,) = house.get("/api/users/outsider/packages", "outsider")
    assert (one["name"], one["channel_name"], one["role"]) == ("demo", "secret", "maintainer")
