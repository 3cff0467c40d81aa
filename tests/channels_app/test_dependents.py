"""What needs a package follows every change of files, and names no channel that one may not read."""

from __future__ import annotations

import pytest

from channels_app.dependents import channels_needing, dependents_of
from channels_app.models import Channel, PackageNeed
from channels_app.services import hotfix, states
from channels_app.services.needs import needed_by
from condahub.accounts.policy import Actor
from tests.api.conftest import World, _fresh_memories, world
from tests.portal.conftest import Visitor

__all__ = ["_fresh_memories", "world"]
pytestmark = pytest.mark.django_db


def _names(channel: Channel, needed: str) -> list[str]:
    return [one.name for one in dependents_of(channel, needed)]


def test_the_latest_version_says_what_it_needs_on_each_platform(world: World) -> None:
    world.push(world.inner, name="app", version="1.0", subdir="linux-64", depends=["old >=1", "python"])
    assert _names(world.inner, "old") == ["app"]
    world.push(world.inner, name="app", version="2.0", subdir="linux-64", depends=["new[version='>=1']", "__glibc >=2.17"])
    world.push(world.inner, name="app", version="2.0", subdir="osx-64", depends=["conda-forge::only_mac"])
    assert [_names(world.inner, name) for name in ("old", "new", "only_mac", "__glibc")] == [[], ["app"], ["app"], []]


def test_what_goes_needs_nothing_any_more(world: World) -> None:
    world.push(world.inner, name="app", version="1.0", subdir="noarch", depends=["old"])
    world.push(world.inner, name="app", version="2.0", subdir="noarch", depends=["new"])
    owner = Actor.of(world.people["owner"])

    def do(verb: str, filename: str) -> None:
        states.change_state(actor=owner, channel=world.inner, verb=states.VERBS[verb], files=[("noarch", filename)])

    do("yank", "app-2.0-0.conda")
    assert (_names(world.inner, "old"), _names(world.inner, "new")) == (["app"], [])
    do("delete", "app-2.0-0.conda")
    do("delete", "app-1.0-0.conda")
    assert not PackageNeed.objects.filter(name="app").exists()
    do("restore", "app-2.0-0.conda")
    assert _names(world.inner, "new") == ["app"]


def test_a_hotfix_changes_what_is_needed(world: World) -> None:
    world.push(world.inner, name="app", version="1.0", subdir="noarch", depends=["numpy"])
    patch = {"packages.conda": {"app-1.0-0.conda": {"depends": ["numpy <2", "scipy"]}}}
    hotfix.apply(actor=Actor.of(world.people["owner"]), channel=world.inner, subdir="noarch", instructions=patch)
    assert [_names(world.inner, name) for name in ("numpy", "scipy")] == [["app"], ["app"]]
    assert needed_by('{"depends": ["a"]}', '{"depends": []}') == set()
    for odd in ('{"depends": "python"}', '{"depends": [1]}', '{"depends": null}', '{"depends": ["", "a\\u0000b", "*"]}', "[]"):
        assert needed_by(odd, "") == set(), odd


def test_other_channels_are_those_that_one_may_read(world: World) -> None:
    for channel in (world.inner, world.outer):
        world.push(channel, name="app", version="1.0", subdir="noarch", depends=["missing"])
    found = {who: channels_needing(Actor.of(world.people[who]), "missing", beside=world.outer) for who in ("outsider", "reader")}
    assert {who: [one.name for one in channels] for who, channels in found.items()} == {"outsider": [], "reader": ["inner"]}
    page = Visitor(world, "outsider").get("/ui/channels/outer/packages/missing/needed-by")
    assert "The latest version of 1 package in outer needs it. It is not in this channel itself." in page
    assert "inner" not in page
