"""Channels' pages speak German to a browser that asks for it, and English to every other."""

from __future__ import annotations

import pytest
from django.utils import translation

from channels_app.models import Channel
from channels_app.portal import stored
from channels_app.services.states import QUARANTINE, _cause
from condahub.accounts.policy import Actor
from tests.api.conftest import World
from tests.portal.conftest import Visitor

pytestmark = pytest.mark.django_db

SAID = {
    "/ui/channels": ("Neuer Channel", "Zuletzt veröffentlicht", " Channels mit Leserecht."),
    "/ui/channels/inner": ("Diesen Channel verwenden", "für noarch; Revision ", "Lesbar für", "Einstellungen"),
    "/ui/channels/inner/packages/inside": ("Version 2.0 ist die neueste; ", "Benötigt von", "Zurückziehen: nicht mehr im Index"),
    "/ui/channels/inner/revisions": ("inside-1.0-0.conda veröffentlicht von", "Jede Änderung erzeugt eine Revision."),
    "/ui/channels/inner/settings": ("Wer lesen darf", "Jede Revision wird für immer behalten", "Umbenennen oder schließen"),
}


def test_pages_of_channels_speak_the_browsers_language(world: World, visit: type[Visitor]) -> None:
    browser = visit(world, "owner").client
    for path, sentences in SAID.items():
        german = browser.get(path, headers={"accept-language": "de-DE,de;q=0.9,en;q=0.5"}).content.decode()
        english = browser.get(path).content.decode()
        for sentence in sentences:
            assert sentence in german, (path, sentence)
            assert sentence not in english


def test_what_was_written_in_english_is_told_in_german(world: World) -> None:
    """Causes and reasons are kept as they were written; a page says them in its language, and one that it does not know as it is."""
    files = list(Channel.objects.get(name="inner").files.all()[:1])
    cause = _cause(QUARANTINE, files, Actor.of(world.people["owner"]))
    reason = "This hub waits 7 days before it shows new packages; this one came on 2026-01-02 and is due on 2026-01-09."
    assert (stored.cause(cause), stored.reason(reason)) == (cause, reason)
    with translation.override("de"):
        assert stored.cause(cause) == f"{files[0].filename} in Quarantäne gestellt von owner"
        assert stored.cause("sync: 3 added, 1 removed") == "Sync: 3 hinzugekommen, 1 entfernt"
        assert stored.reason(reason).startswith("Dieser Hub zeigt neue Pakete erst nach 7 Tagen; dieses kam am 2026-01-02")
        assert stored.cause("the keeper's own words") == "the keeper's own words"


def test_refusals_of_channels_are_told_in_german(world: World, visit: type[Visitor]) -> None:
    browser = visit(world, "owner").client
    german = browser.get("/ui/channels/inner/revisions/3", {"since": "9"}, headers={"accept-language": "de"}).content.decode()
    assert "Die Vergleichsrevision darf nicht nach der Revision selbst liegen." in german
    missing = {"verb": "yank", "file": "noarch/none-1.0-0.conda", "reason": "x"}
    told = browser.post(
        "/ui/channels/inner/packages/inside/change", missing, follow=True, headers={"accept-language": "de"}
    ).content.decode()
    assert "keine Datei „noarch/none-1.0-0.conda“" in told
