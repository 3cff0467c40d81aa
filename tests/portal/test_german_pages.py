"""Mirrors, environments and builds in German, whole: nothing that the hub itself says there is left English."""

from __future__ import annotations

import re

import pytest
from django.utils import translation

from condahub.accounts.policy import Actor
from mirrors_app.models import Mirror
from mirrors_app.portal.reasons import said
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror
from tests.api.conftest import World
from tests.environments_app.building import finish, queue
from tests.portal.conftest import Visitor
from tests.portal.german import ENGLISH, read

pytestmark = pytest.mark.django_db


def test_a_mirror_speaks_german(world: World, visit: type[Visitor]) -> None:
    settings = {"mode": "filtered", "subdirs": ["noarch"], "filters": {"newest_versions": 3}, "schedule": "30 2 * * 1-5"}
    upstreams = [UpstreamSpec(url="https://9.9.9.9/main")]
    mirror = create_mirror(
        actor=Actor.of(world.people["owner"]), organization=world.acme, name="folgt", upstreams=upstreams, settings=settings
    )
    Mirror.objects.filter(pk=mirror.pk).update(next_run_at=None)
    owner = visit(world, "owner")
    page = read(owner, "/ui/channels/folgt/mirror")
    assert "Noch kein Lauf. Er läuft nur auf Anforderung." in page
    assert "Von jedem nur das Neueste: 3 Versionen." in page
    assert "Um 02:30, Montag bis Freitag (UTC)" in page
    for path in ("/ui/channels/folgt/mirror", "/ui/channels/folgt/mirror/settings", "/ui/mirrors", "/ui/mirrors/new", "/ui/requests"):
        assert not ENGLISH.findall(read(owner, path)), path


def test_environments_and_builds_speak_german(world: World, visit: type[Visitor]) -> None:
    build = finish(queue(world), {"open": "1.0", "helper": "2"})
    queue(world, text=build.specification.text.replace(">=1", ">=2"))
    contributor = visit(world, "contributor")
    page = read(contributor, "/ui/acme/environments/tools")
    # A slow machine has built it some seconds ago.
    assert re.search(r"Aktueller Build 1, gebaut [^;]+ \(2 Pakete\); Build 2 wartet, bis er an der Reihe ist\.", page)
    assert "Angeben, welche Pakete gebraucht werden." in read(contributor, "/ui/environments/new")
    for path in ("/ui/environments", "/ui/environments/new", "/ui/acme/environments/tools", "/ui/acme/environments/tools/builds/1"):
        assert not ENGLISH.findall(read(contributor, path)), path


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ("matches no include", "passt zu keiner Auswahl"),
        ("excluded by 'tool >=2 100%'", "ausgeschlossen durch „tool >=2 100%“"),
        ("something nobody foresaw", "something nobody foresaw"),
    ],
)
def test_why_a_package_is_left_out_is_kept_in_english_and_told_in_german(kept: str, told: str) -> None:
    assert said(kept) == kept
    with translation.override("de"):
        assert said(kept) == told
