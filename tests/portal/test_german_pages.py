"""Mirrors, environments and builds in German, whole: what the app itself says there is nowhere English."""

from __future__ import annotations

import re
from html import unescape

import pytest

from condahub.accounts.policy import Actor
from mirrors_app.models import Mirror
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror
from tests.api.conftest import World
from tests.environments_app.building import finish, queue
from tests.portal.conftest import Visitor

pytestmark = pytest.mark.django_db

# Words that English sentences can't do without, and German ones never have.
ENGLISH = re.compile(
    r"\b(?:[Tt]he|[Aa]nd|[Oo]f|[Ww]ith|[Bb]y|[Ii]s|[Aa]re|[Ii]t|[Ii]ts|[Tt]hi?s|[Tt]hat|[Ww]hat|[Ww]hich|[Ff]rom|[Tt]o|[Nn]ot|yet|[Nn]ever|ago)\b[^.]{0,40}"
)


def _read(visitor: Visitor, path: str) -> str:
    """What a person reads in the middle of a page, commands and names of files aside."""
    response = visitor.client.get(path, headers={"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"})
    assert response.status_code == 200, (path, response.status_code)
    page = response.content.decode()
    assert '<html lang="de"' in page
    main = page[page.index("<main") : page.index("</main>")]
    said = re.sub(r"<(pre|code|textarea|script)\b.*?</\1>", " ", main, flags=re.DOTALL)
    spoken = " ".join(re.findall(r'(?:aria-label|placeholder|data-ask)="([^"]*)"', said))
    return re.sub(r"\s+", " ", unescape(re.sub(r'<(?:[^<>"]|"[^"]*")+>', " ", said) + " " + spoken))


def test_a_mirror_speaks_german(world: World, visit: type[Visitor]) -> None:
    settings = {"mode": "filtered", "subdirs": ["noarch"], "filters": {"newest_versions": 3}, "schedule": "30 2 * * 1-5"}
    upstreams = [UpstreamSpec(url="https://9.9.9.9/main")]
    mirror = create_mirror(
        actor=Actor.of(world.people["owner"]), organization=world.acme, name="folgt", upstreams=upstreams, settings=settings
    )
    Mirror.objects.filter(pk=mirror.pk).update(next_run_at=None)
    owner = visit(world, "owner")
    page = _read(owner, "/ui/channels/folgt/mirror")
    assert "Noch kein Lauf. Er läuft nur auf Anforderung." in page
    assert "Von jedem nur das Neueste: 3 Versionen." in page
    assert "Um 02:30, Montag bis Freitag (UTC)" in page
    for path in ("/ui/channels/folgt/mirror", "/ui/channels/folgt/mirror/settings", "/ui/mirrors", "/ui/mirrors/new", "/ui/requests"):
        assert not ENGLISH.findall(_read(owner, path)), path


def test_environments_and_builds_speak_german(world: World, visit: type[Visitor]) -> None:
    build = finish(queue(world), {"open": "1.0", "helper": "2"})
    queue(world, text=build.specification.text.replace(">=1", ">=2"))
    contributor = visit(world, "contributor")
    page = _read(contributor, "/ui/acme/environments/tools")
    assert "Aktueller Build 1, gebaut gerade eben (2 Pakete); Build 2 wartet, bis er an der Reihe ist." in page
    assert "Angeben, welche Pakete gebraucht werden." in _read(contributor, "/ui/environments/new")
    for path in ("/ui/environments", "/ui/environments/new", "/ui/acme/environments/tools", "/ui/acme/environments/tools/builds/1"):
        assert not ENGLISH.findall(_read(contributor, path)), path
