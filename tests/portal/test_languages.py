"""The portal speaks its reader's language: the account's, else the browser's; programs hear English, and no catalogue has a hole."""

from __future__ import annotations

import re
from pathlib import Path

import polib
import pytest
from django.conf import settings as hub_settings
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from django.utils.translation import gettext
from pytest_django.fixtures import Settings

from condahub.accounts import services
from condahub.accounts.models import User
from condahub.accounts.policy import Actor
from condahub.accounts.services import invitations
from condahub.errors import Forbidden, QuotaExceeded, StorageFull, Unprocessable
from condahub.maintenance.selectors import Notice, forget, remember
from condahub.portal import refusals, wording
from deploy import messages
from tests.api.conftest import World
from tests.parts import require_part
from tests.portal.conftest import Visitor
from tests.portal.german import ENGLISH, GERMAN, read

ROOT = Path(__file__).resolve().parent.parent.parent
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|\{\w*\}|<[^<>]+>")
CATALOGUES = [pytest.param(one, language, id=f"{one.app} {language}") for one in messages.CATALOGUES for language in messages.LANGUAGES]


@pytest.mark.parametrize(("catalogue", "language"), CATALOGUES)
def test_a_catalogue_is_whole_and_compiled(catalogue: messages.Catalogue, language: str) -> None:
    entries = polib.pofile(str(catalogue.po(language)))
    assert not entries.untranslated_entries() and not entries.fuzzy_entries() and not entries.obsolete_entries()
    for entry in entries:
        said = [(entry.msgid, entry.msgstr)]
        if entry.msgid_plural:
            said = [(entry.msgid_plural, text) for text in entry.msgstr_plural.values()]
            assert len(said) == 2, entry.msgid
        for text, translated in said:
            assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(translated)), (text, translated)
            # Many stand in attributes, where a quotation mark would end them.
            assert '"' in text or '"' not in translated, translated
            assert text[:1].isspace() == translated[:1].isspace() and text[-1:].isspace() == translated[-1:].isspace(), text
    assert catalogue.mo(language).read_bytes() == messages.compiled(catalogue, language), "run deploy/messages.py --compile"


@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_no_sentence_has_two_translations(language: str) -> None:
    """Django lays all catalogues over each other: of two translations one would never be seen."""
    known: dict[tuple[str | None, str, str], object] = {}
    for catalogue in messages.CATALOGUES:
        for entry in polib.pofile(str(catalogue.po(language))):
            said = entry.msgstr or entry.msgstr_plural
            assert known.setdefault((entry.msgctxt, entry.msgid, entry.msgid_plural), said) == said, (catalogue.app, entry.msgid)


def test_the_catalogues_hold_what_pages_say() -> None:
    require_part("xgettext")
    assert [line for one in messages.CATALOGUES for language in messages.LANGUAGES for line in messages.faults(one, language)] == []


def test_every_language_to_choose_has_its_catalogues() -> None:
    assert [code for code, _ in hub_settings.LANGUAGES] == ["en", *messages.LANGUAGES]


def test_whatever_is_counted_is_translated() -> None:
    nouns = set()
    for path in [*(ROOT / "templates").rglob("*.html"), *(one for app in messages.CATALOGUES for one in (ROOT / app.app).rglob("*.py"))]:
        nouns |= set(re.findall(r"""\bcounted(?:\(.*?,| \S+) ["']([a-z][a-z ]*)["']""", path.read_text(encoding="utf-8")))
    assert len(nouns) > 10 and {noun for noun in nouns if not wording.is_translated(noun)} == set()


def test_numbers_are_written_as_the_language_writes_them() -> None:
    assert (wording.size(4_200_000_000), wording.counted(214_880, "file")) == ("4.2 GB", "214,880 files")
    with translation.override("de"):
        assert (wording.size(4_200_000_000), wording.counted(214_880, "file")) == ("4,2 GB", "214.880 Dateien")
        assert wording.listed(["a", "b", "c"]) == "a, b und c"


@pytest.mark.django_db
def test_the_account_decides_then_the_browser(world: World, visit: type[Visitor]) -> None:
    owner = visit(world, "owner")

    def language(**headers: str) -> str:
        response = owner.client.get("/ui/account", headers=headers)
        assert {"Accept-Language", "Cookie"} <= {name.strip() for name in response["Vary"].split(",")}
        assert response["Cache-Control"] == "private, no-cache"
        found = re.search(r'<html lang="(\w+)"', response.content.decode())
        assert found and found.group(1) == response["Content-Language"]
        return found.group(1)

    assert [language(), language(**GERMAN), language(**{"Accept-Language": "fr, de;q=0.5"}), language(**{"Accept-Language": "ja"})] == [
        *("en", "de", "de", "en")
    ]
    fields = {"display_name": "Olga", "email": "", "language": "de"}
    saved = owner.client.post("/ui/account", fields, headers={"Accept-Language": "en"}, follow=True).content.decode()
    assert "Ihr Profil ist gespeichert." in saved and '<option value="de" selected>Deutsch</option>' in saved
    assert language(**{"Accept-Language": "en"}) == "de"
    owner.client.post("/ui/account", {**fields, "language": ""})
    assert language(**{"Accept-Language": "en"}) == "en"
    refused = owner.client.post("/ui/account", {**fields, "language": "tlh"})
    assert refused.status_code == 200 and User.objects.get(username="owner").language == ""
    with pytest.raises(Unprocessable, match="does not speak"):
        services.update_user(actor=Actor.of(world.people["owner"]), user=world.people["owner"], language="tlh")


@pytest.mark.django_db
def test_a_choice_costs_no_query(world: World, visit: type[Visitor]) -> None:
    owner = visit(world, "owner")
    owner.get("/ui/account")
    with CaptureQueriesContext(connection) as unasked:
        owner.get("/ui/account")
    User.objects.filter(username="owner").update(language="de")
    with CaptureQueriesContext(connection) as chosen:
        assert "Abmelden" in owner.get("/ui/account")
    assert len(chosen) == len(unasked)


@pytest.mark.django_db
def test_programs_are_answered_in_english(world: World) -> None:
    refused = Client().post("/api/hub/v1/organizations", {}, content_type="application/json", headers=GERMAN)
    plain = Client().post("/api/hub/v1/organizations", {}, content_type="application/json")
    assert refused.json() == plain.json() and "Accept-Language" not in refused.get("Vary", "") and "Content-Language" not in refused
    assert Client().get("/api/hub/v1/nowhere", headers=GERMAN).json()["detail"].startswith("There is")


@pytest.mark.django_db
def test_the_portals_own_pages_are_german(world: World, visit: type[Visitor]) -> None:
    owner = visit(world, "owner")
    made = services.create_token(actor=Actor.of(world.people["owner"]), owner=world.people["owner"], name="ci", scopes=["read"])
    assert made.secret
    page = read(owner, "/ui/")
    assert "Meine Organisationen" in page and "Zurzeit läuft oder wartet nichts." in page
    paths = ["/ui/", "/ui/account", "/ui/account/tokens", "/ui/account/tokens/new", "/ui/inbox", "/ui/jobs", "/ui/organizations"]
    paths += ["/ui/account/subscriptions", "/ui/search?q=acme", "/ui/search?q=nirgends", "/accounts/sessions/"]
    paths += [f"/ui/acme/{part}" for part in ("members", "teams", "robots", "access", "access?person=reader", "webhooks", "settings")]
    paths += ["/ui/acme", "/accounts/2fa/", "/accounts/linked/"]
    for path in paths:
        assert not ENGLISH.findall(read(owner, path)), path
    for path, status in (("/ui/no-such-organization", 404), ("/ui/jobs/999999", 404)):
        assert not ENGLISH.findall(read(owner, path, status)), path
    assert not ENGLISH.findall(read(visit(world), "/accounts/login/"))


@pytest.mark.django_db
def test_a_refused_sign_in_is_told_in_german(world: World) -> None:
    page = Client().post("/accounts/login/", {"username": "owner", "password": "wrong-one"}, headers=GERMAN).content.decode()
    assert "Benutzername und Passwort passen nicht zusammen" in page


@pytest.mark.django_db
def test_an_invitation_speaks_its_receivers_language(world: World, settings: Settings) -> None:
    settings.CONDAHUB_EMAIL_ENABLED = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    reader = world.people["reader"]
    reader.emailaddress_set.create(email="reader@example.org", verified=True, primary=True)
    for language, sentence in (("de", "Der Link gilt einmal"), ("", "The link works once")):
        User.objects.filter(pk=reader.pk).update(language=language)
        sent = services.invite(
            actor=Actor.of(world.people["owner"]), organization=world.acme, email="reader@example.org", role="contributor"
        )
        assert invitations.mail_invitation(sent.pk)
        assert sentence in mail.outbox[-1].body


@pytest.mark.django_db
def test_refusals_are_german(world: World, visit: type[Visitor]) -> None:
    defaults = [Forbidden().detail, Forbidden.hint, StorageFull().detail, StorageFull.hint, QuotaExceeded.hint]
    with translation.override("de"):
        assert [said for said in defaults if gettext(said) == said] == []
    owner = visit(world, "owner")
    refused = owner.client.post("/ui/acme/members", {"username": "nobody-here", "role": "reader"}, headers=GERMAN).content.decode()
    assert "Diesen Benutzer gibt es nicht." in refused and "Bitte den genauen Benutzernamen angeben." in refused
    assert "Das dürfen Sie nicht, oder es gibt es nicht." in read(visit(world, "reader"), "/ui/acme/settings", 403)
    remember(Notice("Umbau bis 12 Uhr", "info", read_only=True))
    try:
        kept = owner.client.post("/ui/account", headers=GERMAN)
    finally:
        forget()
    assert kept.status_code == 503
    assert "Der Hub wird gewartet" in kept.content.decode() and "Was Sie gesendet haben" in kept.content.decode()


def test_refusals_of_the_services_are_told_in_german() -> None:
    in_english = "There is no such user. Give the exact user name."
    assert refusals.told(in_english) == in_english and refusals.told("") == ""
    with translation.override("de"):
        assert refusals.told("There is no such user.") == "Diesen Benutzer gibt es nicht."
        assert refusals.told("'a.b' is read by others than 'c'.") == "„a.b“ wird von anderen gelesen als „c“."
        assert refusals.told("'x' is something that no catalogue knows.") == "'x' is something that no catalogue knows."


def test_refusals_that_are_translated_are_said_somewhere() -> None:
    apps = ("condahub", "channels_app", "environments_app", "mirrors_app")
    texts = [path.read_text(encoding="utf-8") for app in apps for path in (ROOT / app).rglob("*.py") if path.name != "refusals.py"]
    said = re.sub(r'"\s*\n\s*f?"', "", "\n".join(texts))
    made = {f"This hub does not allow {who} {what}." for who in ("public", "internal") for what in ("channels", "environments")}
    lost = [one for one in refusals.SENTENCES if not all(part in said for part in re.split(r"%\(\w+\)s", one)) and one not in made]
    assert lost == []


@pytest.mark.django_db
def test_a_mail_of_signing_in_speaks_the_accounts_language(world: World, settings: Settings) -> None:
    settings.CONDAHUB_EMAIL_ENABLED = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    owner = world.people["owner"]
    owner.set_password("a-scientist-signs-in-7")
    owner.email, owner.language = "owner@example.org", "de"
    owner.save()
    Client().post("/accounts/password/reset/", {"email": "owner@example.org"}, headers={"Accept-Language": "en"})
    assert mail.outbox[0].subject == "[condahub] E-Mail zum Zurücksetzen des Passworts"
