"""Keeps the portal's message catalogues: `make messages` finds what pages say, merges it into each app's .po and compiles the .mo.

`--compile` only compiles; `--check` changes nothing and tells what is new, gone or not compiled. Finding needs GNU xgettext.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polib
from django.conf import settings
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("de",)
PLURALS = {"de": "nplurals=2; plural=(n != 1);"}
TEMPLATE_ENDINGS = (".html", ".txt")
# Django's own list, by which `makemessages` asks for Python's sentences.
KEYWORDS = (
    *("gettext_noop", "gettext_lazy", "ngettext_lazy:1,2", "pgettext:1c,2", "npgettext:1c,2,3"),
    *("pgettext_lazy:1c,2", "npgettext_lazy:1c,2,3"),
)
LINE = re.compile(r":\d+$")


class Catalogue(NamedTuple):
    """app: the folder of its Python and of its `locale`; templates: folders and files below /templates that it speaks for."""

    app: str
    templates: tuple[str, ...]

    def folder(self, language: str) -> Path:
        return ROOT / self.app / "locale" / language / "LC_MESSAGES"

    def po(self, language: str) -> Path:
        return self.folder(language) / "django.po"

    def mo(self, language: str) -> Path:
        return self.folder(language) / "django.mo"


# The portal's own catalogue has all that no other has: pages of refusals, signing in, and the mails of accounts and events.
CATALOGUES = (
    Catalogue("condahub/portal", ("*.html", "portal", "account", "mfa", "socialaccount", "usersessions")),
    Catalogue("channels_app", ("channels",)),
    Catalogue("mirrors_app", ("mirrors", "requests")),
    Catalogue("environments_app", ("environments",)),
)
# Python outside condahub/portal whose sentences people read on pages and in mails.
BESIDE_THE_PORTAL = ("condahub/accounts", "condahub/events", "condahub/jobs", "condahub/maintenance")


def sources(catalogue: Catalogue) -> Iterator[Path]:
    """All files that may hold sentences of this catalogue, in a stable order."""
    roots = [catalogue.app, *(BESIDE_THE_PORTAL if catalogue is CATALOGUES[0] else ())]
    for root in roots:
        yield from sorted((ROOT / root).rglob("*.py"))
    for name in catalogue.templates:
        place = ROOT / "templates" / name
        yield from sorted(place.parent.glob(name) if "*" in name else (one for one in place.rglob("*") if one.suffix in TEMPLATE_ENDINGS))


def extracted(catalogue: Catalogue) -> polib.POFile:
    """What the sources say now, untranslated."""
    with tempfile.TemporaryDirectory() as scratch:
        names = []
        for source in sources(catalogue):
            text = source.read_text(encoding="utf-8")
            if source.suffix != ".py":
                text = templatize(text, origin=str(source))
            name = source.relative_to(ROOT)
            place = Path(scratch, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
            names.append(str(name))
        command = [
            "xgettext",
            "--language=Python",
            "--from-code=UTF-8",
            "--no-wrap",
            "--add-comments=Translators",
            "--force-po",
            "--output=-",
        ]
        command += [f"--keyword={word}" for word in KEYWORDS]
        found = subprocess.run([*command, *names], cwd=scratch, check=True, capture_output=True, text=True)
    return polib.pofile(found.stdout, wrapwidth=0)


def merged(catalogue: Catalogue, language: str) -> polib.POFile:
    """The catalogue as it should be: today's sentences in today's order, with the translations that are known here or to another."""
    old: dict[tuple[str | None, str, str], polib.POEntry] = {}
    for other in (*CATALOGUES, catalogue):
        if other.po(language).exists():
            entries = polib.pofile(str(other.po(language)), wrapwidth=0)
            old |= {_key(entry): entry for entry in entries if not entry.obsolete and (other is catalogue or entry.translated())}
    made = polib.POFile(wrapwidth=0)
    made.metadata = {
        "Language": language,
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "Plural-Forms": PLURALS[language],
    }
    for entry in extracted(catalogue):
        # Without line numbers: a moved line is no change of a catalogue.
        entry.occurrences = sorted({(LINE.sub("", name), "") for name, _ in entry.occurrences})
        before = old.get(_key(entry))
        if before is not None:
            entry.msgstr, entry.msgstr_plural = before.msgstr, before.msgstr_plural or entry.msgstr_plural
            entry.tcomment = before.tcomment
            if "fuzzy" in before.flags:
                entry.flags.append("fuzzy")
        made.append(entry)
    return made


def compiled(catalogue: Catalogue, language: str) -> bytes:
    """What the .mo has to hold for the .po that is there."""
    return bytes(polib.pofile(str(catalogue.po(language)), wrapwidth=0).to_binary())


def _key(entry: polib.POEntry) -> tuple[str | None, str, str]:
    return entry.msgctxt, entry.msgid, entry.msgid_plural


def faults(catalogue: Catalogue, language: str) -> list[str]:
    """What `make messages` would change, in sentences; empty when all is as it should be."""
    name = f"{catalogue.app}, {language}"
    if not catalogue.po(language).exists():
        return [f"{name}: there is no catalogue yet"]
    here = {_key(entry) for entry in polib.pofile(str(catalogue.po(language))) if not entry.obsolete}
    now = {_key(entry) for entry in extracted(catalogue)}
    told = [f"{name}: not in the catalogue: {text}" for _, text, _ in sorted(now - here, key=str)]
    told += [f"{name}: said nowhere any more: {text}" for _, text, _ in sorted(here - now, key=str)]
    if not catalogue.mo(language).exists() or catalogue.mo(language).read_bytes() != compiled(catalogue, language):
        told.append(f"{name}: the .mo is not what the .po says")
    return told


def main() -> int:
    """Returns 1 where `--check` found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="change nothing; fail where a catalogue is not up to date")
    what.add_argument("--compile", action="store_true", help="only compile the catalogues as they are")
    parser.add_argument("only", nargs="*", metavar="APP", help="of these alone: " + ", ".join(one.app for one in CATALOGUES))
    asked = parser.parse_args()
    if not settings.configured:
        settings.configure()
    chosen = [one for one in CATALOGUES if not asked.only or one.app in asked.only]
    if asked.check:
        told = [line for one in chosen for language in LANGUAGES for line in faults(one, language)]
        print("\n".join(told) or "All catalogues are up to date.")
        return 1 if told else 0
    for one in chosen:
        for language in LANGUAGES:
            one.folder(language).mkdir(parents=True, exist_ok=True)
            if not asked.compile:
                merged(one, language).save(str(one.po(language)))
            one.mo(language).write_bytes(compiled(one, language))
            catalogue = polib.pofile(str(one.po(language)))
            left = len(catalogue.untranslated_entries()) + len(catalogue.fuzzy_entries())
            print(f"{one.app:<20} {language}  {len(catalogue):>5} messages, {left} of them to translate")
    return 0


if __name__ == "__main__":
    sys.exit(main())
