"""Environments over the REST API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from condahub.accounts.policy import Actor
from condahub.engine.lock import CondaRecord, HubLock, LockedChannel, PlatformLock
from environments_app.building.outcome import keep_lock
from environments_app.models import Build, Redistribution
from environments_app.services.choices import chosen
from environments_app.services.environments import create_environment
from tests.api.conftest import Api, World
from tests.environments_app.building import SPEC, Submit, finish
from tests.queries import counted

pytestmark = pytest.mark.django_db
TOOLS = "organizations/acme/environments/tools"


def test_a_specification_that_is_posted_becomes_a_build(world: World) -> None:
    api = world.api("contributor")
    made = api.do("POST", f"{TOOLS}/builds", {"specification": SPEC}, 201)
    assert (made["number"], made["state"], made["channels"], made["specification"]) == (1, "queued", ["outer"], SPEC)
    assert api.get(TOOLS)["builds_count"] == 1 and api.get(TOOLS)["current_build"] is None
    assert api.do("POST", f"{TOOLS}/builds/1/cancel")["state"] == "cancelled"


def test_a_specification_is_checked_line_by_line_and_nothing_is_recorded(world: World) -> None:
    api = world.api("reader")
    good = api.do("POST", "specifications/validate", {"specification": SPEC + "prefix: /x\n", "organization": "acme"})
    assert good["valid"] and good["name"] == "tools" and good["request"]["dependencies"] == ["open >=1"]
    assert [(note["line"], note["text"].split()[0]) for note in good["notes"]] == [(5, "'prefix'")]
    bad = api.do("POST", "specifications/validate", {"specification": "channels: [/a]\ndependencies:\n - ./x\n"})
    assert not bad["valid"] and bad["request"] is None
    assert [(one["line"], one["code"]) for one in bad["problems"]] == [(1, "local_path"), (3, "local_path")]
    assert api("POST", "specifications/validate", {"specification": SPEC, "organization": "hidden"}).status_code == 403
    hidden = world.api("outsider").do("POST", "specifications/validate", {"specification": "channels:\n- inner\n"})
    unknown = world.api("outsider").do("POST", "specifications/validate", {"specification": "channels:\n- inter\n"})
    assert hidden["problems"][0]["detail"].replace("inner", "inter") == unknown["problems"][0]["detail"]


def chosen_for(number: int) -> dict[str, Any]:
    build = Build.objects.get(number=number)
    return chosen(build.environment_id, build.request)


def test_a_build_updates_what_is_named_and_keeps_the_rest(world: World, submit: Submit) -> None:
    """What the solver is asked then; that it does so is the engine's to show."""
    api, posted = world.api("contributor"), {"specification": SPEC}
    refused = api("POST", f"{TOOLS}/builds", {**posted, "update": ["open"]})
    assert refused.status_code == 403 or refused.json()["code"] == "no_such_build"
    first = finish(submit(text=SPEC + "  - other\n"))
    records = tuple(
        CondaRecord(name=name, version="1.0", build="0", subdir="noarch", filename=f"{name}-1.0-0.conda", sha256="ab" * 32, channel="outer")
        for name in ("open", "other")
    )
    lock = HubLock.of(channels=[LockedChannel("outer", 1)], platforms={"linux-64": PlatformLock(conda=records)})
    Build.objects.filter(pk=first.pk).update(lock=keep_lock(lock))
    body = {**posted, "update": ["open"], "keep": ["Other"], "exclude_newer": "2026-05-01T02:00:00+02:00"}
    made = api.do("POST", f"{TOOLS}/builds", body, 201)
    assert made["number"] == 2 and made["request"]["exclude_newer"] == "2026-05-01T00:00:00+00:00"
    assert api.do("POST", f"{TOOLS}/builds", body, 201)["number"] == 2 and api.do("POST", f"{TOOLS}/builds", posted, 201)["number"] == 3
    asked = chosen_for(2)
    assert [record.name for record in asked["previous"].platform("linux-64").conda] == ["other"] and asked["keep"] == ("other",)
    assert asked["exclude_newer"] == datetime(2026, 5, 1, tzinfo=UTC) and asked["channel_priority"] == "strict"
    only_kept = api.do("POST", f"{TOOLS}/builds", {**posted, "keep": ["open"]}, 201)
    asked = chosen_for(only_kept["number"])
    assert [record.name for record in asked["previous"].platform("linux-64").conda] == ["open"]
    for wrong, status in ({"update": ["absent"]}, 422), ({"keep": [7]}, 400), ({"exclude_newer": "soon"}, 400), ({"upgrade": []}, 400):
        assert api("POST", f"{TOOLS}/builds", {**posted, **wrong}).status_code == status, wrong
    world.api("owner").do("PATCH", "organizations/acme/environment-settings", {"values": {"channel_priority": "disabled"}})
    assert api.do("POST", f"{TOOLS}/builds", posted, 201)["request"]["channel_priority"] == "disabled"


def test_lists_hold_what_the_asker_may_see_and_count_nothing_else(world: World, submit: Submit) -> None:
    finish(submit())
    finish(submit("owner", name="secret", text="channels: [inner]\ndependencies: [inside]\n"), {"inside": "1.0"})
    world.api("owner").do("PATCH", TOOLS, {"visibility": "public"})
    assert [row["name"] for row in Api().get("environments")["results"]] == ["tools"]
    assert Api().get("organizations/acme/environments")["count"] == 1
    assert world.api("reader").get("environments", organization="acme", q="sec")["count"] == 1
    assert world.api("outsider").get("environments", q="sec")["count"] == 0
    assert Api()("GET", "organizations/labs/environments").status_code == 401
    assert world.api("outsider")("GET", "organizations/labs/environments").status_code == 403
    assert Api().get("environments/packages", package="inside")["count"] == 0
    found = world.api("reader").get("environments/packages", package="inside <2")["results"]
    assert [(row["environment"], row["version"]) for row in found] == [("secret", "1.0")]
    assert world.api("reader")("GET", "environments/packages?package=%2A").status_code == 400


def test_a_list_says_of_an_environment_what_its_own_address_says(world: World, submit: Submit) -> None:
    """Lists are made of columns, an environment of its record."""
    finish(submit(), {"a": "1"})
    submit("owner", name="building")
    world.api("owner").do("POST", "organizations/acme/environments", {"name": "empty", "visibility": "public"}, 201)
    for api, names in ((world.api("reader"), ["building", "empty", "tools"]), (Api(), ["empty"])):
        for path in ("environments", "organizations/acme/environments"):
            listed = api.get(path)["results"]
            assert [row["name"] for row in listed] == names
            assert listed == [api.get(f"organizations/acme/environments/{name}") for name in names]


def test_a_build_made_of_a_hidden_channel_is_not_there(world: World, submit: Submit) -> None:
    finish(submit("owner", text="name: tools\nchannels: [inner]\ndependencies: [inside]\n"))
    world.api("owner").do("PATCH", TOOLS, {"visibility": "public"})
    assert Api().get(TOOLS)["current_build"]["number"] == 1, "its owner shared it"
    Redistribution.objects.all().delete()
    shown = Api().get(TOOLS)
    assert (shown["current_build"], shown["builds_count"]) == (None, 0)
    assert Api().get(f"{TOOLS}/builds")["count"] == 0
    assert Api()("GET", f"{TOOLS}/builds/1").status_code == 404
    assert Api()("GET", f"{TOOLS}/builds/1").content.replace(b"1", b"9") == Api()("GET", f"{TOOLS}/builds/9").content


def test_builds_are_compared_chosen_and_rolled_back(world: World, submit: Submit) -> None:
    finish(submit(), {"a": "1", "b": "2"})
    finish(submit(), {"a": "2", "c": "1"})
    api = world.api("contributor")
    told = api.get(f"{TOOLS}/diff", before=1, after=2)
    assert [(row["name"], row["change"], row["before"], row["after"]) for row in told["changes"]] == [
        ("a", "upgraded", "1 h0_0", "2 h0_0"),
        ("b", "removed", "2 h0_0", None),
        ("c", "added", None, "1 h0_0"),
    ]
    assert api.do("POST", f"{TOOLS}/rollback")["current_build"]["number"] == 1
    assert api.do("POST", f"{TOOLS}/builds/2/activate")["current"] == 2
    assert api.do("PATCH", f"{TOOLS}/builds/1", {"pinned": True})["pinned"]
    assert world.api("maintainer")("DELETE", f"{TOOLS}/builds/2").status_code == 409
    assert [row["name"] for row in api.get(f"{TOOLS}/builds/2/packages")["results"]] == ["a", "c"]


def test_settings_are_shown_with_what_they_make_together(world: World) -> None:
    world.api("staff").do("PATCH", "environment-settings", {"values": {"build_seconds": 600, "pip_allowed": False}})
    world.api("owner").do("PATCH", "organizations/acme/environment-settings", {"values": {"build_seconds": 900}})
    create_environment(actor=Actor.of(world.people["owner"]), organization=world.acme, name="tools")
    told = world.api("contributor").do("PATCH", f"{TOOLS}/settings", {"values": {"pip_allowed": True, "solve_seconds": 5}})
    assert told["values"] == {"pip_allowed": True, "solve_seconds": 5}
    assert (told["merged"]["build_seconds"], told["merged"]["pip_allowed"], told["merged"]["solve_seconds"]) == (600, False, 5)
    assert world.api("contributor")("PATCH", f"{TOOLS}/settings", {"values": {"cake": 1}}).status_code == 422


def test_a_grant_on_an_environment_lets_one_see_it(world: World) -> None:
    create_environment(actor=Actor.of(world.people["owner"]), organization=world.acme, name="tools")
    outsider = world.api("outsider")
    assert outsider("GET", TOOLS).status_code == 403
    given = {"user": "outsider", "role": "contributor", "environment": "acme/tools"}
    assert world.api("owner").do("POST", "organizations/acme/grants", given, 201)["environment"] == "acme/tools"
    assert outsider.get(TOOLS)["name"] == "tools"
    assert outsider("DELETE", TOOLS).status_code == 403
    assert world.api("maintainer")("DELETE", TOOLS).status_code == 204
    assert outsider("GET", TOOLS).status_code == 403


def test_a_list_of_a_hundred_takes_as_many_queries_as_one_of_two(world: World, submit: Submit) -> None:
    for number in range(4):
        finish(submit(name=f"tools-{number}"))
    api = world.api("reader")
    api.get("environments")
    with counted("api environments"):
        assert api.get("environments", page_size=100)["count"] == 4
    finish(submit(name="tools-1"))
    with counted("api builds"):
        assert api.get("organizations/acme/environments/tools-1/builds")["count"] == 2
