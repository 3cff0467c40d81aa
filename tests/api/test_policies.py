"""Policies by REST: rules, previews, what is hidden, waivers, advisories, requests; and the walls around them."""

from __future__ import annotations

from typing import Any

import pytest

from condahub.jobs.runner import drain
from tests.api.conftest import World
from tests.queries import counted

pytestmark = pytest.mark.django_db

DENY = {"rules": {"licenses": {"denied": ["GPL*"], "effect": "deny"}}}
FAR_OFF = "2999-01-01T00:00:00Z"


@pytest.fixture
def hiding(world: World) -> World:
    """`inner` (private) and `outer` (public) each hide a `viral` by the rules of this hub."""
    world.api("staff").do("PUT", "policies", DENY)
    for channel in (world.inner, world.outer):
        world.push(channel, name="viral", extra_index={"license": "GPL-3.0-only"})
    return world


def test_rules_are_set_shown_and_taken_away(world: World) -> None:
    owner, reader = world.api("owner"), world.api("reader")
    assert world.api("staff").do("PUT", "policies", DENY)["rules"] == {"licenses": {"allowed": [], "denied": ["GPL*"], "effect": "deny"}}
    owner.do("PUT", "organizations/acme/policy", {"rules": {"cooldown": {"days": 3}}})
    owner.do("PUT", "channels/inner/policy", {"rules": {"size": {"max_bytes": 10}}})
    told = reader.get("channels/inner/policy")
    assert told["policy_state"] == "applying"
    assert [(one["level"], list(one["rules"])) for one in told["policies"]] == [
        ("installation", ["licenses"]),
        ("organization", ["cooldown"]),
        ("channel", ["size"]),
    ]
    drain("quick")
    assert reader.get("channels/inner")["policy_state"] == "current"
    assert reader.get("channels/inner/hidden")["count"] == 2
    levels = [one["level"] for one in world.api("outsider").get("channels/outer/policy")["policies"]]
    assert levels == ["installation", "channel"], "an organization's rules are for those who know it"
    owner.do("PUT", "channels/inner/policy", {"rules": {}})
    assert owner.get("channels/inner/policy")["policies"][2]["rules"] == {}


@pytest.mark.parametrize(
    "body", [{}, {"rules": []}, {"rules": {"speed": {}}}, {"rules": {"size": {"max_bytes": "1"}}}, {"rules": {"a\x00": 1}}, []]
)
def test_what_are_no_rules_are_refused_with_a_sentence(world: World, body: Any) -> None:
    response = world.api("owner")("PUT", "channels/inner/policy", body)
    assert response.status_code in (400, 422) and response.json()["detail"]


def test_a_preview_counts_and_changes_nothing(world: World) -> None:
    world.push(world.inner, name="viral", extra_index={"license": "GPL-3.0-only"})
    found = world.api("owner").do("POST", "channels/inner/policy/preview", DENY)
    assert (found["examined"], found["newly_hidden"], found["by_rule"], found["complete"]) == (3, 1, {"licenses": 1}, True)
    assert found["samples"][0]["filename"] == "viral-1.0-0.conda"
    assert world.api("staff").do("POST", "policies/preview", DENY)["examined"] == 4
    assert world.api("owner").get("channels/inner/hidden")["count"] == 0


def test_hidden_packages_are_told_to_those_who_read_the_channel(hiding: World) -> None:
    (told,) = hiding.api("reader").get("channels/inner/hidden")["results"]
    assert (told["filename"], told["effect"], told["rule"], told["level"]) == ("viral-1.0-0.conda", "deny", "licenses", "installation")
    assert told["license"] == "GPL-3.0-only" and told["closure"]["packages"] == 1 and told["size"] > 0
    assert hiding.api("outsider")("GET", "channels/inner/hidden").status_code == 403
    assert hiding.api()("GET", "channels/inner/hidden").status_code == 401
    assert hiding.api()("GET", "channels/outer/hidden").status_code == 401
    assert hiding.api("outsider").get("channels/outer/hidden")["count"] == 1
    for path in ("channels/outer/packages", "channels/outer/files", "search?q=viral"):
        assert "viral" not in hiding.api()("GET", path).content.decode(), path
    assert hiding.api("outsider")("GET", "channels/absent/hidden").status_code == 403


def test_waivers_are_seen_by_those_they_are_about(hiding: World) -> None:
    body = {"level": "installation", "channel": "inner", "what": "viral", "reason": "Needed.", "expires_at": FAR_OFF}
    made = hiding.api("staff").do("POST", "waivers", body, 201)
    assert (made["level"], made["channel"], made["granted_by"]) == ("installation", "inner", "it")
    drain("quick")
    assert hiding.api("reader").get("channels/inner/hidden")["count"] == 0
    assert hiding.api("outsider").get("channels/outer/hidden")["count"] == 1, "for the other channel it still is hidden"
    assert hiding.api("reader").get("waivers")["count"] == 1
    assert hiding.api("outsider").get("waivers")["count"] == 0
    assert hiding.api("outsider")("DELETE", f"waivers/{made['id']}").status_code == 403
    assert hiding.api("owner")("DELETE", f"waivers/{made['id']}").status_code == 403, "not the keeper of that level"
    hiding.api("staff").do("DELETE", f"waivers/{made['id']}", status=204)
    drain("quick")
    assert hiding.api("reader").get("channels/inner/hidden")["count"] == 1
    refused = hiding.api("maintainer").do(
        "POST", "channels/inner/hidden/release", {k: body[k] for k in ("what", "reason", "expires_at")}, 403
    )
    assert refused["code"] == "not_the_keeper"


def test_a_waiver_of_an_organization_does_not_reach_into_another(hiding: World) -> None:
    hiding.api("staff").do("POST", "organizations", {"name": "rival", "owner": "outsider"}, 201)
    body = {"level": "organization", "organization": "rival", "what": "viral", "reason": "Needed.", "expires_at": FAR_OFF}
    assert hiding.api("outsider").do("POST", "waivers", {**body, "channel": "outer"}, 422)["code"] == "bad_waiver"
    hiding.api("outsider").do("POST", "waivers", body, 201)
    assert hiding.api("outsider").do("POST", "waivers", {**body, "channel": "inner"}, 403)["code"] == "forbidden"


def test_advisories_are_loaded_listed_and_hide(world: World) -> None:
    staff = world.api("staff")
    staff.do("PUT", "policies", {"rules": {"advisories": {"min_severity": "low"}}})
    affected = [{"package": {"ecosystem": "PyPI", "name": "Inside"}, "versions": ["1.0"]}]
    entry = {"id": "GHSA-9", "aliases": ["CVE-2026-9"], "summary": "Leaks.", "affected": affected, "more": {"kept": "out"}}
    assert staff.do("POST", "advisories", {"entries": [entry]})["advisories"] == 1
    drain("quick")
    (told,) = world.api("reader").get("channels/inner/hidden")["results"]
    assert told["filename"] == "inside-1.0-0.conda" and told["advisories"][0]["aliases"] == ["CVE-2026-9"]
    assert world.api("outsider").get("advisories", package="INSIDE")["results"][0]["summary"] == "Leaks."
    assert staff.do("POST", "advisories", {"entries": [{"id": 5}]}, 422)["code"] == "bad_advisory"


def test_a_request_goes_from_asked_to_answered(hiding: World) -> None:
    reader, outsider = hiding.api("reader"), hiding.api("outsider")
    made = reader.do("POST", "channels/inner/requests", {"spec": "viral", "reason": "Needed.", "resume": "build:4"}, 201)
    assert (made["missing"], made["state"]) == ("denied", "asked")
    assert reader.do("POST", "channels/inner/requests", {"spec": "viral", "reason": "Again.", "resume": "build:4"})["id"] == made["id"]
    assert outsider.get("requests")["count"] == 0
    assert outsider("GET", f"requests/{made['id']}").status_code == 403
    assert hiding.api("contributor")("GET", f"requests/{made['id']}").status_code == 403
    assert hiding.api("maintainer").get("requests", state="asked")["count"] == 1
    done = hiding.api("staff").do("POST", f"requests/{made['id']}/approve", {"expires_at": FAR_OFF})
    assert done["state"] == "approved"
    drain("quick")
    assert reader.get("channels/inner/hidden")["count"] == 0
    mine = outsider.do("POST", "channels/outer/requests", {"spec": "absent", "reason": "Needed."}, 201)
    assert hiding.api("owner").do("POST", f"requests/{mine['id']}/refuse", {"answer": "Not here."})["state"] == "refused"
    assert outsider.get(f"requests/{mine['id']}")["answer"] == "Not here."


def test_lists_take_a_known_number_of_queries(hiding: World) -> None:
    reader, maintainer = hiding.api("reader"), hiding.api("maintainer")
    reader.do("POST", "channels/inner/requests", {"spec": "viral", "reason": "Needed."}, 201)
    body = {"level": "channel", "channel": "inner", "what": "viral", "reason": "Needed.", "expires_at": FAR_OFF}
    maintainer.do("POST", "waivers", body, 201)
    for api in (reader, maintainer):
        api.get("channels/inner")
    for key, api, path in (
        ("api hidden", reader, "channels/inner/hidden"),
        ("api policy", reader, "channels/inner/policy"),
        ("api waivers", reader, "waivers"),
        ("api advisories", reader, "advisories"),
        ("api requests", maintainer, "requests"),
    ):
        with counted(key):
            assert api("GET", path).status_code == 200
