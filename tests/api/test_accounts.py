"""Oneself, people, organizations, teams, grants, robots and tokens over the REST API."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone

from condahub.accounts import services
from condahub.accounts.policy import SYSTEM, Actor
from tests.api.conftest import ROOT, Api, World
from tests.queries import counted

pytestmark = pytest.mark.django_db


def by(page: dict, key: str = "name") -> list[Any]:
    return [row[key] for row in page["results"]]


def test_me_tells_who_asks(world: World) -> None:
    me = world.api("maintainer", "ci").get("me")
    assert (me["username"], me["is_staff"], me["primary_organization"]) == ("maintainer", False, "maintainer")
    assert me["organizations"] == [{"name": "acme", "role": "maintainer"}, {"name": "maintainer", "role": "owner"}]
    assert "package:upload" in me["token"]["scopes"]
    assert Api()("GET", "me").status_code == 401
    assert world.session("reader").get("me")["token"] is None


def test_a_wrong_token_is_never_taken_for_nobody(world: World) -> None:
    for headers in ({"Authorization": "Bearer wrong"}, {"X-API-Key": "wrong"}, {"Authorization": "Basic !!"}):
        response = Api().client.get(f"{ROOT}channels", headers=headers)
        assert response.status_code == 401
        assert set(response.json()) == {"code", "detail", "hint"}
        assert response.headers["WWW-Authenticate"]


def test_a_sessions_changes_need_the_csrf_token(world: World) -> None:
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(world.people["owner"], backend="django.contrib.auth.backends.ModelBackend")
    refused = client.patch(f"{ROOT}channels/inner", {"description": "x"}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
    client.cookies["csrftoken"] = token = "a" * 32
    accepted = client.patch(f"{ROOT}channels/inner", {"description": "x"}, content_type="application/json", headers={"X-CSRFToken": token})
    assert accepted.status_code == 200, accepted.content


def test_staff_keep_accounts(world: World) -> None:
    staff, admin = world.api("staff"), world.api("admin")
    made = staff.do("POST", "users", {"username": "nina", "display_name": "Nina N.", "email": "n@example.org"}, 201)
    assert (made["display_name"], made["is_staff"], made["kind"]) == ("Nina N.", False, "person")
    assert "nina" in by(staff.get("users", q="nin"), "username")
    assert staff.do("PATCH", "users/nina", {"display_name": "N."})["display_name"] == "N."
    assert staff("PATCH", "users/nina", {"is_staff": True}).status_code == 403
    assert admin.do("PATCH", "users/nina", {"is_auditor": True})["is_auditor"] is True
    assert admin("DELETE", "users/nina").status_code == 204
    assert admin.get("users/nina")["is_active"] is False
    assert admin.do("PATCH", "users/nina", {"is_active": True})["is_active"] is True
    assert staff.do("POST", "users", {"username": "Nina"}, 409)["code"] == "name_unavailable"
    assert staff.do("POST", "users", {"username": "weak", "password": "1234"}, 422)["code"] == "weak_password"


def test_a_change_of_an_account_is_made_whole_or_not_at_all(world: World) -> None:
    staff = world.api("staff")
    assert staff("PATCH", "users/reader", {"display_name": "Changed", "is_staff": True}).status_code == 403
    assert staff.get("users/reader")["display_name"] == "reader"


def test_people_see_themselves_and_whom_they_share_an_organization_with(world: World) -> None:
    assert by(world.api("outsider").get("users"), "username") == ["outsider"]
    assert "reader" in by(world.api("maintainer").get("users"), "username")
    assert world.api("reader").get("users/reader")["username"] == "reader"
    hidden, unknown = (world.api("outsider")("GET", f"users/{name}") for name in ("owner", "nobody"))
    assert hidden.status_code == unknown.status_code == 403
    assert hidden.content == unknown.content


def test_organizations_are_made_described_limited_and_closed(world: World) -> None:
    staff = world.api("staff")
    made = staff.do("POST", "organizations", {"name": "labs", "title": "Labs", "owner": "outsider"}, 201)
    assert (made["name"], made["is_personal"], made["used_bytes"]) == ("labs", False, 0)
    assert world.api("owner")("POST", "organizations", {"name": "mine"}).status_code == 403
    assert world.api("outsider").do("PATCH", "organizations/labs", {"title": "The Labs"})["title"] == "The Labs"
    assert staff.do("PUT", "organizations/labs/quota", {"quota_bytes": 10})["quota_bytes"] == 10
    assert world.api("outsider")("PUT", "organizations/labs/quota", {"quota_bytes": None}).status_code == 403
    assert world.api("outsider")("DELETE", "organizations/labs").status_code == 204
    assert world.api("outsider")("GET", "organizations/labs").status_code == 403
    assert staff.do("POST", "organizations/labs/restore")["name"] == "labs"
    assert world.api("owner").get("organizations/acme")["used_bytes"] > 0


def test_an_organization_is_hidden_from_outsiders(world: World) -> None:
    outsider = world.api("outsider")
    assert by(outsider.get("organizations")) == ["outsider"]
    for path in ("", "/members", "/teams", "/grants", "/robots", "/audit"):
        hidden, unknown = (outsider("GET", f"organizations/{name}{path}") for name in ("acme", "nowhere"))
        assert hidden.status_code == unknown.status_code == 403, path
        assert hidden.content == unknown.content


def test_members_come_and_go_and_the_last_owner_stays(world: World) -> None:
    owner = world.api("owner")
    put = owner.do("PUT", "organizations/acme/members/outsider", {"role": "reader"})
    assert (put["username"], put["role"], put["why"]) == ("outsider", "reader", ["reader on this organization (by hand)"])
    assert "outsider" in by(owner.get("organizations/acme/members"), "username")
    assert world.api("outsider").get("channels/inner")["name"] == "inner"
    assert owner.do("PUT", "organizations/acme/members/outsider", {"role": "contributor"})["role"] == "contributor"
    assert world.api("outsider")("DELETE", "organizations/acme/members/outsider").status_code == 403, "a token does not leave for one"
    assert world.session("outsider")("DELETE", "organizations/acme/members/outsider").status_code == 204, "one may leave"
    assert world.api("outsider")("GET", "channels/inner").status_code == 403
    assert owner.do("DELETE", "organizations/acme/members/owner", status=409)["code"] == "last_owner"
    assert owner.do("DELETE", "organizations/acme/members/outsider", status=404)["code"] == "no_such_member"
    assert world.api("maintainer")("PUT", "organizations/acme/members/outsider", {"role": "reader"}).status_code == 403
    assert owner("PUT", "organizations/acme/members/outsider", {"role": "king"}).status_code == 400


def test_teams_hold_people_and_roles(world: World) -> None:
    owner = world.api("owner")
    assert owner.do("POST", "organizations/acme/teams", {"slug": "core", "title": "Core"}, 201)["members"] == []
    assert owner.do("PUT", "organizations/acme/teams/core/members/outsider")["members"] == ["outsider"]
    grant = owner.do("POST", "organizations/acme/grants", {"team": "core", "role": "reader", "channel": "inner"}, 201)
    assert (grant["team"], grant["user"], grant["channel"], grant["package"]) == ("core", None, "inner", "")
    assert world.api("outsider").get("channels/inner")["name"] == "inner"
    assert owner.do("PATCH", "organizations/acme/teams/core", {"title": "The core"})["title"] == "The core"
    assert by(world.api("maintainer").get("organizations/acme/teams"), "slug") == ["core"]
    assert owner("DELETE", "organizations/acme/teams/core/members/outsider").status_code == 204
    assert owner("DELETE", "organizations/acme/teams/core").status_code == 204
    assert world.api("outsider")("GET", "channels/inner").status_code == 403


def test_grants_reach_down_to_a_package_name(world: World) -> None:
    owner = world.api("owner")
    made = owner.do(
        "POST", "organizations/acme/grants", {"user": "outsider", "role": "contributor", "channel": "inner", "package": "inside"}, 201
    )
    assert [(row["user"], row["package"]) for row in owner.get("organizations/acme/grants", user="outsider")["results"]] == [
        ("outsider", "inside")
    ]
    assert owner.get("organizations/acme/grants", channel="inner", package="inside")["count"] == 1
    assert owner.get("organizations/acme/grants", channel="inner")["count"] == 0
    assert world.api("outsider")("DELETE", f"organizations/acme/grants/{made['id']}").status_code in (204, 403)
    for body in ({"role": "reader"}, {"role": "reader", "user": "a", "team": "b"}, {"role": "reader", "user": "a", "package": "p"}):
        assert owner("POST", "organizations/acme/grants", body).status_code == 400
    hidden = owner("POST", "organizations/acme/grants", {"user": "reader", "role": "reader", "channel": "nowhere"})
    assert hidden.status_code == 403
    assert owner("DELETE", "organizations/acme/grants/999999").status_code == 404


def test_a_token_is_shown_once_limited_rotated_and_revoked(world: World) -> None:
    owner = world.api("owner")
    expires = (timezone.now() + timedelta(days=1)).isoformat()
    made = owner.do(
        "POST", "tokens", {"name": "ci", "scopes": ["ci"], "channels": ["inner"], "packages": ["outer/open"], "expires_at": expires}, 201
    )
    assert (made["channels"], made["packages"], made["organizations"], made["is_limited"]) == (["inner"], ["outer/open"], [], True)
    secret = made["secret"]
    shown = owner.get(f"tokens/{made['id']}")
    assert "secret" not in shown
    assert secret.startswith(shown["prefix"])
    assert len(shown["prefix"]) < 20
    assert Api(secret).get("channels/inner")["name"] == "inner"
    assert Api(secret)("PATCH", "channels/inner", {"description": "x"}).status_code == 403
    again = owner.do("POST", f"tokens/{made['id']}/rotate", {}, 201)
    assert Api(secret)("GET", "channels/inner").status_code == 401
    assert Api(again["secret"]).get("channels/inner")
    assert Api(again["secret"])("DELETE", f"tokens/{again['id']}").status_code == 204, "a token may end itself"
    assert Api(again["secret"])("GET", "channels/inner").status_code == 401
    hidden, unknown = (world.api("outsider")("GET", f"tokens/{pk}") for pk in (made["id"], 999999))
    assert hidden.status_code == unknown.status_code == 403
    assert hidden.content == unknown.content


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["fly"]},
        {"name": "", "scopes": ["read"]},
        {"name": "x", "scopes": "read"},
        {"name": "x", "scopes": ["read"], "packages": ["numpy"]},
        {"name": "x", "scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z"},
        {"name": "x", "scopes": ["read"], "expires_at": 5e300},
    ],
)
def test_a_token_that_can_not_be_is_refused(world: World, body: dict) -> None:
    assert world.api("owner")("POST", "tokens", body).status_code in (400, 422)


def test_a_token_for_what_one_may_not_see_is_refused(world: World) -> None:
    for places in ({"channels": ["inner"]}, {"organizations": ["acme"]}, {"channels": ["nowhere"]}):
        assert world.api("outsider")("POST", "tokens", {"name": "x", "scopes": ["read"], **places}).status_code == 403


def test_robots_hold_tokens_of_their_own(world: World) -> None:
    owner = world.api("owner")
    robot = owner.do("POST", "organizations/acme/robots", {"name": "ci"}, 201)
    assert (robot["name"], robot["username"]) == ("ci", "acme+ci")
    made = owner.do("POST", "organizations/acme/robots/ci/tokens", {"name": "push", "scopes": ["ci"]}, 201)
    assert (made["kind"], made["owner"]) == ("robot", "acme+ci")
    owner.do("POST", "organizations/acme/grants", {"user": "acme+ci", "role": "reader"}, 201)
    assert Api(made["secret"]).get("channels/inner")["name"] == "inner"
    assert by(owner.get("organizations/acme/robots/ci/tokens")) == ["push"]
    assert by(owner.get("organizations/acme/robots")) == ["ci"]
    assert world.api("maintainer")("GET", "organizations/acme/robots").status_code == 403
    assert owner("DELETE", "organizations/acme/robots/ci").status_code == 204
    assert Api(made["secret"])("GET", "me").status_code == 401


def test_the_permissions_are_told_to_anybody(world: World) -> None:
    told = Api().get("permissions")
    assert "package:upload" in told["permissions"]
    assert set(told["roles"]) == {"reader", "contributor", "maintainer", "owner"}
    assert told["bundles"]["upload"] == ["package:upload"]
    assert Api().get("hub")["name"] == "condahub"


def test_lists_take_the_same_queries_however_long_they_are(world: World) -> None:
    owner, acme = world.api("owner"), world.acme
    people = Actor.of(world.people["owner"])
    paths = {
        "grants": "organizations/acme/grants",
        "members": "organizations/acme/members",
        "organizations": "organizations",
        "robots": "organizations/acme/robots",
        "teams": "organizations/acme/teams",
        "tokens": "tokens?owner=*",
        "users": "users",
    }
    for growing in range(2):
        for number in range(3):
            name = f"more{growing}{number}"
            user = services.create_user(actor=SYSTEM, username=name)
            services.grant(actor=people, on=world.inner, role="reader", user=user)
            services.grant(actor=people, on=acme, role="reader", user=user)
            team = services.create_team(actor=people, organization=acme, slug=name)
            services.grant(actor=people, on=acme, role="reader", team=team)
            services.create_robot(actor=people, organization=acme, name=name)
            owner.do("POST", "tokens", {"name": "x", "scopes": ["read"], "channels": ["inner"], "organizations": ["acme"]}, 201)
        for key, path in paths.items():
            owner.do("GET", path)
            with counted(f"api {key}"):
                owner.do("GET", path)


def test_owners_ask_who_may_what_now_and_on_a_day(world: World) -> None:
    owner, day = world.api("owner"), date(2020, 2, 2)
    today = owner.get("organizations/acme/access")
    assert today["on"] is None and {"owner", "reader"} <= set(today["people"]) and "outsider" not in today["people"]
    reader = owner.get("organizations/acme/access/reader")
    assert reader["is_active"] and [(row["role"], row["level"], row["source"]) for row in reader["roles"]] == [
        ("reader", "organization", "manual")
    ]
    assert "channel:read" in reader["roles"][0]["permissions"]
    assert owner.get("organizations/acme/access/outsider")["roles"] == []
    # The trail is not that old: nobody had anything.
    assert owner.get("organizations/acme/access/reader", on=day.isoformat())["roles"] == []
    assert owner("GET", "organizations/acme/access?on=yesterday").status_code == 400
    people = owner.get("channels/inner/readers")["people"]
    assert {"username": "reader", "ways": ["reader on the organization"]} in people
    assert owner.do("GET", f"channels/inner/readers?on={day}", status=422)["code"] == "not_yet_there"
    services.deactivate_user(actor=SYSTEM, user=world.people["reader"])
    assert owner.get("organizations/acme/access/reader")["is_active"] is False
    assert "reader" not in by_name(owner.get("channels/inner/readers")["people"])


def by_name(people: list[dict[str, Any]]) -> set[str]:
    return {one["username"] for one in people}


def test_owners_invite_and_take_back(world: World, settings: Any) -> None:
    owner = world.api("owner")
    assert owner.do("POST", "organizations/acme/invitations", {"email": "a@example.org", "role": "reader"}, 409)["code"] == "no_mail"
    settings.CONDAHUB_EMAIL_ENABLED = True
    made = owner.do("POST", "organizations/acme/invitations", {"email": "A@example.org", "role": "reader"}, 201)
    assert (made["email"], made["role"], made["team"], made["invited_by"]) == ("a@example.org", "reader", "", "owner")
    assert [row["id"] for row in owner.get("organizations/acme/invitations")["results"]] == [made["id"]]
    assert owner("POST", "organizations/acme/invitations", {"email": "b@example.org"}).status_code == 422
    assert owner("DELETE", f"organizations/acme/invitations/{made['id']}").status_code == 204
    assert owner("DELETE", f"organizations/acme/invitations/{made['id']}").status_code == 404
    assert owner.get("organizations/acme/invitations")["count"] == 0
