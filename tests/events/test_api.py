"""The REST API of events: one's own inbox and subscriptions, the webhooks of one's organizations, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from condahub.accounts.models import Organization
from condahub.events.models import InboxItem, Webhook
from tests.events.conftest import Receiver, World
from tests.events.test_spreading import publish, subscribe
from tests.queries import counted

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("near")]
Tell = Callable[..., Any]
HOOKS = "organizations/acme/webhooks"


def test_the_types_are_listed(world: World) -> None:
    listed = {one["name"]: one for one in world.api("outsider").get("event-types")}
    assert listed["mirror.failed"]["severity"] == "error" and listed["mirror.failed"]["unasked"] == "mirror:update"
    assert listed["package.published"]["unasked"] is None


def test_an_inbox_is_listed_filtered_and_marked(world: World, tell: Tell) -> None:
    subscribe(world, "reader")
    tell(lambda: [publish(world.inner, name) for name in ("one", "two", "three")])
    api = world.api("reader")
    listed = api.get("inbox")
    assert [one["event"]["object"]["name"] for one in listed["results"]] == ["three-1.0-0.conda", "two-1.0-0.conda", "one-1.0-0.conda"]
    first = listed["results"][0]
    assert first["event"]["organization"] == "acme" and first["read_at"] is None
    assert api.do("PATCH", f"inbox/{first['id']}", {"read": True})["read_at"] is not None
    assert api.get("inbox", unread="true")["count"] == 2 and api.get("inbox", unread="false")["count"] == 1
    assert api.do("PATCH", f"inbox/{first['id']}", {"read": False})["read_at"] is None
    assert api.do("POST", "inbox/read", {"items": [first["id"]]}) == {"changed": 1, "unread": 2}
    assert api.do("POST", "inbox/read", {}) == {"changed": 2, "unread": 0}
    assert api.get("inbox", type="mirror.failed")["count"] == 0 and api.get("inbox", severity="info")["count"] == 3


def test_an_inbox_is_nobody_elses(world: World, tell: Tell) -> None:
    subscribe(world, "reader")
    tell(lambda: publish(world.inner))
    item = InboxItem.objects.get().pk
    for who in ("staff", "owner", "outsider"):
        assert world.api(who).get("inbox")["count"] == 0
        world.api(who).do("PATCH", f"inbox/{item}", {"read": True}, 403)
        assert world.api(who).do("POST", "inbox/read", {"items": [item]})["changed"] == 0
    world.api().do("GET", "inbox", status=401)
    assert InboxItem.objects.get().read_at is None


def test_a_narrow_token_sees_what_its_scopes_reach_and_changes_nothing(world: World, tell: Tell) -> None:
    subscribe(world, "owner")
    tell(lambda: publish(world.inner))
    item = InboxItem.objects.get().pk
    assert world.api("owner", "read").get("inbox")["count"] == 1
    assert world.api("owner", "upload").get("inbox")["count"] == 0
    for method, path in (("PATCH", f"inbox/{item}"), ("POST", "inbox/read"), ("GET", "subscriptions"), ("POST", "subscriptions")):
        body = {"read": True} if method == "PATCH" else {"types": ["*"]} if path == "subscriptions" else {}
        world.api("owner", "own").do(method, path, None if method == "GET" else body, 403)


def test_subscriptions_are_kept_changed_and_ended(world: World) -> None:
    api = world.api("reader")
    made = api.do("POST", "subscriptions", {"types": ["package.published", "mirror.failed"], "channel": "inner"}, 201)
    assert (made["way"], made["channel"], made["organization"]) == ("inbox", "inner", "acme")
    assert made["types"] == ["mirror.failed", "package.published"]
    path = f"subscriptions/{made['id']}"
    assert api.do("PATCH", path, {"types": ["*"]})["types"] == ["*"]
    assert api.get(path)["types"] == ["*"] and api.get("subscriptions")["count"] == 1
    world.api("owner").do("GET", path, status=403)
    api.do("DELETE", path, status=204)
    assert api.get("subscriptions")["count"] == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"types": ["package.eaten"]}, 422),
        ({"types": []}, 400),
        ({"types": ["*"], "way": "webhook"}, 400),
        ({"types": ["*"], "way": "email"}, 409),
        ({"types": ["*"], "channel": "inner", "organization": "acme"}, 400),
        ({"types": ["*"], "colour": "red"}, 400),
    ],
)
def test_odd_subscriptions_are_refused(world: World, body: dict[str, Any], status: int) -> None:
    assert world.api("reader").do("POST", "subscriptions", body, status)["hint"]


def test_hidden_and_unknown_places_answer_alike(world: World) -> None:
    api = world.api("outsider")
    for one, other in (({"channel": "inner"}, {"channel": "nothing"}), ({"organization": "acme"}, {"organization": "nothing"})):
        answers = [api.do("POST", "subscriptions", {"types": ["*"], **place}, 403) for place in (one, other)]
        assert answers[0] == answers[1]


def test_webhooks_are_kept_and_the_secret_is_shown_once(world: World, receiver: Receiver, tell: Tell) -> None:
    api = world.api("owner")
    body = {"name": "chat", "url": receiver.url, "types": ["package.published"], "channel": "inner"}
    made = api.do("POST", HOOKS, body, 201)
    assert made["secret"].startswith("chub-hook-") and made["created_by"] == "owner" and made["channel"] == "inner"
    path = f"{HOOKS}/{made['id']}"
    shown = {key: value for key, value in made.items() if key != "secret"}
    assert api.get(path) == shown == api.get(HOOKS)["results"][0]
    api.do("POST", HOOKS, body, 409)
    changed = api.do("PATCH", path, {"name": "talk", "is_active": False, "types": ["*"]})
    assert (changed["name"], changed["is_active"], changed["types"]) == ("talk", False, ["*"])
    api.do("POST", f"{path}/test", status=409)
    api.do("PATCH", path, {"is_active": True})
    assert api.do("POST", f"{path}/rotate")["secret"] != made["secret"]
    delivery = tell(lambda: api.do("POST", f"{path}/test", status=201))
    assert delivery["state"] == "waiting" and receiver.received[0].headers["X-Condahub-Delivery"] == delivery["number"]
    logged = api.get(f"{path}/deliveries", state="delivered")["results"][0]
    assert (logged["number"], logged["response_status"], logged["next_attempt_at"]) == (delivery["number"], 204, None)
    again = tell(lambda: api.do("POST", f"{path}/deliveries/{logged['id']}/redeliver", status=201))
    assert again["by_hand"] and len(receiver.received) == 2
    api.do("DELETE", path, status=204)
    assert not Webhook.objects.exists()


def test_auditors_see_webhooks_without_what_may_be_a_password(world: World) -> None:
    url = "https://8.8.8.8/services/T0/as-good-as-a-password"
    made = world.api("owner").do("POST", HOOKS, {"name": "chat", "url": url, "types": ["*"]}, 201)
    own = f"{HOOKS}/{made['id']}"
    auditor = world.api("auditor")
    assert auditor.get(HOOKS)["results"][0]["url"] == auditor.get(own)["url"] == "https://8.8.8.8/…"
    assert world.api("owner").get(own)["url"] == url
    auditor.do("PATCH", own, {"name": "mine"}, 403)
    auditor.do("POST", f"{own}/rotate", status=403)


def test_webhooks_are_for_owners_of_that_organization(world: World, receiver: Receiver) -> None:
    made = world.api("owner").do("POST", HOOKS, {"name": "chat", "url": receiver.url, "types": ["*"]}, 201)
    path = f"{HOOKS}/{made['id']}"
    for who in ("outsider", "reader", "contributor", "maintainer"):
        for method, place in (("GET", HOOKS), ("GET", path), ("DELETE", path), ("POST", f"{path}/rotate"), ("GET", f"{path}/deliveries")):
            assert world.api(who)(method, place).status_code == 403
    own = Organization.objects.get(personal_of=world.people["outsider"]).name
    world.api("outsider").do("GET", f"organizations/{own}/webhooks/{made['id']}", status=404)


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest", "ftp://example.org", "https://user:pass@example.org/", "x"],
)
def test_a_url_that_leads_inside_is_refused(world: World, url: str) -> None:
    answer = world.api("owner").do("POST", HOOKS, {"name": "chat", "url": url, "types": ["*"]}, 422)
    assert answer["code"] in ("address_refused", "invalid_url") and answer["hint"] and "pass" not in answer["detail"].split()
    assert not Webhook.objects.exists()


def test_lists_take_a_fixed_number_of_queries(world: World, receiver: Receiver, tell: Tell) -> None:
    for name in ("one", "two", "three"):
        world.api("owner").do("POST", HOOKS, {"name": name, "url": receiver.url, "types": ["*"], "channel": "inner"}, 201)
        world.api("owner").do("POST", "subscriptions", {"types": ["*"], "channel": "outer"}, 201)
    tell(lambda: (publish(world.inner), publish(world.outer)))
    api, hook = world.api("owner"), Webhook.objects.earliest("id").pk
    api.get("me")
    for key, path in {
        "api inbox": "inbox",
        "api subscriptions": "subscriptions",
        "api webhooks": HOOKS,
        "api deliveries": f"{HOOKS}/{hook}/deliveries",
    }.items():
        with counted(key):
            assert api.get(path)["results"]
