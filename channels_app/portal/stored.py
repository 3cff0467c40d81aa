"""Sentences that the hub wrote down in English, what caused a revision or why policy hides a file, said in the page's language."""

from __future__ import annotations

import re

from django.utils.translation import gettext, gettext_noop

from channels_app.portal import words
from condahub.portal.stored import teller
from condahub.portal.wording import counted

_WHOSE = (gettext_noop("This hub"), gettext_noop("The organization"), gettext_noop("The channel"))
# As the services and the rules write them, the special before the general.
_CAUSES = (
    gettext_noop("channel created"),
    gettext_noop("%(what)s published by %(who)s"),
    gettext_noop("yank of %(what)s by %(who)s"),
    gettext_noop("restore of %(what)s by %(who)s"),
    gettext_noop("quarantine of %(what)s by %(who)s"),
    gettext_noop("release of %(what)s by %(who)s"),
    gettext_noop("delete of %(what)s by %(who)s"),
    gettext_noop("purge of %(what)s by %(who)s"),
    gettext_noop("%(what)s copied by %(who)s"),
    gettext_noop("%(what)s promoted by %(who)s"),
    gettext_noop("hotfix of %(what)s by %(who)s"),
    gettext_noop("attestation of %(what)s by %(who)s"),
    gettext_noop("%(number)s attestations by %(who)s"),
    gettext_noop("rolled back to revision %(number)s by %(who)s"),
    gettext_noop("bundle of %(name)s, revision %(number)s"),
    gettext_noop("%(number)s changes"),
    gettext_noop("index made anew"),
    gettext_noop("policy applied"),
    gettext_noop("deleted files forgotten"),
    gettext_noop("members or their names arranged"),
    gettext_noop("changes of its members: %(names)s"),
    gettext_noop("files that were never fetched are shown no more"),
    gettext_noop("%(what)s was purged before"),
    gettext_noop("sync: %(sums)s"),
)
_SUMS = {
    "added": gettext_noop("%(number)s added"),
    "changed": gettext_noop("%(number)s changed"),
    "removed": gettext_noop("%(number)s removed"),
}
_REASONS = (
    gettext_noop("%(whose)s waits %(days)s days before it shows new packages; this one came on %(came)s and is due on %(due)s."),
    gettext_noop("%(whose)s does not allow the license '%(name)s'."),
    gettext_noop("%(whose)s allows no package that does not name its license."),
    gettext_noop("%(whose)s does not allow what %(name)s (%(severity)s) affects: %(summary)s"),
    gettext_noop("%(whose)s does not allow what %(name)s (%(severity)s) affects."),
    gettext_noop("%(whose)s does not allow '%(name)s'."),
    gettext_noop("%(whose)s allows only the packages that its list names."),
    gettext_noop("%(whose)s allows at most %(most)s bytes, and this has %(size)s."),
    gettext_noop("%(whose)s asks for an attestation, and none came with it."),
)
_FORMS = {"whose": "|".join(_WHOSE), "number": r"\d+", "days": r"\d+", "severity": r"\w+"}
_COUNTED = re.compile(r"(\d+) (file|name)s?")


def _counted(text: str) -> str:
    many = _COUNTED.fullmatch(text)
    return counted(int(many[1]), many[2]) if many else text


def _sums(text: str) -> str:
    """`3 added, 1 changed`, as a sync writes it."""
    found = [(one.partition(" ")[0], _SUMS.get(one.partition(" ")[2])) for one in text.split(", ")]
    return ", ".join(gettext(form) % {"number": number} for number, form in found if form) or text


def _said(gap: str, value: str) -> str:
    if gap == "whose":
        return gettext(value)
    if gap == "severity":
        return str(words.SEVERITIES.get(value, value))
    return _sums(value) if gap == "sums" else _counted(value)


cause = teller(_CAUSES, forms=_FORMS, said=_said)
reason = teller(_REASONS, forms=_FORMS, said=_said)
