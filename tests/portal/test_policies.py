"""Policy and requests as pages: what rules would hide is seen before they are saved; who misses a package asks, and is answered."""

from __future__ import annotations

import re

import pytest

from channels_app.models import PackageFile, PackageRequest, Policy, RequestState, Waiver
from channels_app.services import applying
from channels_app.services.policies import set_policy
from channels_app.services.scopes import Scope
from condahub.accounts.policy import Actor
from tests.api.conftest import World
from tests.portal.conftest import Visitor

pytestmark = pytest.mark.django_db
PATH = "/ui/channels/inner/policy"


def deny_inside(world: World) -> None:
    set_policy(actor=Actor.of(world.people["owner"]), scope=Scope.of_channel(world.inner), rules={"names": {"denied": ["inside"]}})
    applying.apply(channel_id=world.inner.pk)


def verdicts(world: World) -> dict[str, str]:
    return dict(PackageFile.objects.filter(channel=world.inner, name="inside", state="live").values_list("version", "verdict"))


def test_what_rules_would_hide_is_seen_before_they_are_saved(world: World, visit: type[Visitor]) -> None:
    owner = visit(world, "owner")
    seen = owner.post(PATH, 200, names_denied="inside", names_effect="deny", verb="preview").content.decode()
    assert "would be hidden" in seen
    assert "inside-1.0-0.conda" in seen
    assert not Policy.objects.exists()
    owner.post(PATH, 302, names_denied="inside\nother*", names_effect="hold", cooldown_days="14", cooldown_effect="hold", verb="save")
    assert Policy.objects.get().rules == {
        "cooldown": {"days": 14, "effect": "hold"},
        "names": {"allowed": [], "denied": ["inside", "other*"], "effect": "hold"},
    }
    page = owner.get(PATH)
    assert "Holds the packages inside and other*." in page
    assert re.search(r'name="cooldown_days" value="14"', page)


def test_a_size_that_nobody_touched_stays_exact(world: World, visit: type[Visitor]) -> None:
    scope = Scope.of_channel(world.inner)
    set_policy(actor=Actor.of(world.people["owner"]), scope=scope, rules={"size": {"max_bytes": 1_234_567}})
    visit(world, "owner").post(PATH, 302, size_megabytes="2", size_effect="deny", verb="save")
    assert Policy.objects.get().rules == {"size": {"max_bytes": 1_234_567, "effect": "deny"}}


def test_rules_that_cannot_be_are_said_and_not_saved(world: World, visit: type[Visitor]) -> None:
    said = visit(world, "owner").post(PATH, 422, names_denied="numpy[channel=other]", verb="save").content.decode()
    assert "is neither a glob of a name nor a MatchSpec" in said
    assert not Policy.objects.exists()


def test_a_reader_sees_why_and_asks_and_an_owner_answers(world: World, visit: type[Visitor]) -> None:
    deny_inside(world)
    reader, owner = visit(world, "reader"), visit(world, "owner")
    page = reader.get(PATH)
    assert "inside-1.0-0.conda" in page
    assert "Ask for it" in page
    assert "Release for a while" not in page
    answer = reader.post("/ui/channels/inner/ask", 302, spec="inside =1.0", reason="for the report")
    request = PackageRequest.objects.get()
    assert answer["Location"] == f"/ui/requests/{request.pk}"
    assert "for the report" in owner.get("/ui/requests")
    assert "What it would show" in owner.get(f"/ui/requests/{request.pk}")
    owner.post(f"/ui/requests/{request.pk}/answer", 302, verb="approve", days="30", answer="For the report only.")
    request.refresh_from_db()
    assert request.state == RequestState.APPROVED
    applying.apply(channel_id=world.inner.pk)
    assert verdicts(world) == {"1.0": "allow"} | {version: "deny" for version in verdicts(world) if version != "1.0"}
    assert "For the report only." in reader.get(f"/ui/requests/{request.pk}")


def test_who_keeps_another_level_only_may_refuse(world: World, visit: type[Visitor]) -> None:
    set_policy(actor=Actor.of(world.people["staff"]), scope=Scope.of_installation(), rules={"names": {"denied": ["inside"]}})
    applying.apply(channel_id=world.inner.pk)
    visit(world, "reader").post("/ui/channels/inner/ask", 302, spec="inside", reason="for the report")
    request = PackageRequest.objects.get()
    page = visit(world, "owner").get(f"/ui/requests/{request.pk}")
    assert "names (installation)" in page
    assert 'value="approve"' not in page
    visit(world, "owner").post(f"/ui/requests/{request.pk}/answer", 302, verb="approve", days="30")
    request.refresh_from_db()
    assert request.state == RequestState.ASKED
    visit(world, "owner").post(f"/ui/requests/{request.pk}/answer", 302, verb="refuse", answer="Use another.")
    request.refresh_from_db()
    assert (request.state, request.answer) == (RequestState.REFUSED, "Use another.")


def test_a_release_shows_it_and_can_be_ended(world: World, visit: type[Visitor]) -> None:
    deny_inside(world)
    owner = visit(world, "owner")
    owner.post(f"{PATH}/release", 302, what="inside =1.0", reason="checked by hand", days="7")
    waiver = Waiver.objects.get()
    applying.apply(channel_id=world.inner.pk)
    assert verdicts(world) == {"1.0": "allow"} | {version: "deny" for version in verdicts(world) if version != "1.0"}
    assert "checked by hand" in owner.get(PATH)
    owner.post(f"{PATH}/waivers/{waiver.pk}/revoke", 302)
    assert not Waiver.objects.exists()


def test_wide_rules_are_kept_by_their_keepers_alone(world: World, visit: type[Visitor]) -> None:
    visit(world, "maintainer").post("/ui/acme/policy", 403, size_megabytes="5", verb="save")
    visit(world, "owner").post("/ui/acme/policy", 302, size_megabytes="5", size_effect="deny", verb="save")
    visit(world, "owner").post("/ui/policy", 403, size_megabytes="5", verb="save")
    visit(world, "staff").post("/ui/policy", 302, size_megabytes="9", size_effect="hold", verb="save")
    assert {one.level: one.rules["size"]["max_bytes"] for one in Policy.objects.all()} == {
        "organization": 5_000_000,
        "installation": 9_000_000,
    }
    assert "Denies files over 5 MB." in visit(world, "reader").get(PATH)


def test_a_package_is_asked_for_where_it_was_missed(world: World, visit: type[Visitor]) -> None:
    reader = visit(world, "reader")
    for path in ("/ui/channels/inner?q=nowhere-1", "/ui/channels/inner/packages/nowhere-1/needed-by", "/ui/search?q=nowhere-1"):
        assert "/ui/channels/inner/ask?spec=nowhere-1" in reader.get(path), path
    assert "/ui/channels/inner/ask?spec=inside" in reader.get("/ui/channels/inner/packages/inside")
    assert "/ask?" not in visit(world, "outsider").get("/ui/search?q=nowhere-1")
    for path in ("/ui/channels/outer?q=nowhere-1", "/ui/channels/outer/packages/open", "/ui/search?q=nowhere-1"):
        assert "/ask?" not in visit(world).get(path), path
