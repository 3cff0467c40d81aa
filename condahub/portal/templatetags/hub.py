"""Tags and filters of all the portal's templates: icons, the six states, numbers as people say them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from condahub.events.models import Event
from condahub.events.words import sentence_of
from condahub.portal import refusals, registry, states, wording

register = template.Library()


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite; hidden from screen readers unless it has a label of its own."""
    said = format_html('role="img" aria-label="{}"', label) if label else SafeString('aria-hidden="true"')
    return format_html('<svg class="icon" {}><use href="{}#{}"/></svg>', said, static("vendor/icons.svg"), name)


@register.simple_tag
def state(word: str, text: str = "") -> SafeString:
    """One of the six states, as sign, colour and word; `word` is a state of a job, a file or a build."""
    look = states.look_of(word)
    return format_html('<span class="state state-{}">{}<span>{}</span></span>', look.name, icon(look.icon), text or states.said(word))


@register.filter
def state_word(word: str) -> str:
    """The word alone, for where no sign stands."""
    return states.said(word)


@register.filter
def role(name: str) -> str:
    """A role as pages call it."""
    return states.role_said(name)


@register.filter
def size(nbytes: int | None) -> SafeString:
    """4.2 GB, with the bytes on hover."""
    return SafeString("") if nbytes is None else format_html('<span title="{}">{}</span>', _bytes(nbytes), wording.size(nbytes))


@register.filter
def size_change(nbytes: int) -> SafeString:
    """+4.2 GB, -300 KB: what came or went, with the bytes on hover."""
    sign = "+" if nbytes >= 0 else "-"
    return format_html('<span title="{}">{}{}</span>', f"{sign}{_bytes(abs(nbytes))}", sign, wording.size(abs(nbytes)))


def _bytes(nbytes: int) -> str:
    return gettext("%(number)s bytes") % {"number": wording.number(nbytes)}


@register.filter
def number(value: int | None) -> str:
    return "" if value is None else wording.number(value)


@register.simple_tag
def counted(value: int, noun: str, plural: str = "") -> str:
    """1 file, 214,880 files."""
    return wording.counted(value, noun, plural)


@register.filter
def ago(moment: datetime | None) -> SafeString:
    """3 hours ago, with the exact time on hover."""
    if moment is None:
        return SafeString("")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), f"{moment:%Y-%m-%d %H:%M:%S} UTC", wording.ago(moment)
    )


@register.filter
def translated(sentence: str) -> str:
    """A refusal's sentence, in the page's language where it is known."""
    return refusals.told(sentence)


@register.filter
def told(event: Event) -> str:
    """What an event says, in the page's language."""
    return sentence_of(event)


@register.filter
def seconds(length: float | None) -> str:
    """How long something took: 0.4 s, 12 s, 3 minutes, 2 hours."""
    if length is None:
        return ""
    if length < 60:
        return f"{wording.number(round(length, 1), 1) if length < 10 else round(length)} s"
    return wording.span(timedelta(seconds=length))


@register.filter
def listed(words: list[str]) -> str:
    return wording.listed(list(words))


@register.filter
def short_hash(digest: str) -> SafeString:
    """The first digits of a hash, the whole one on hover."""
    return format_html('<code title="{}">{}</code>', digest, digest[:12])


@register.filter
def percent(part: int | None, whole: int | None) -> int:
    """0 to 100; 0 where there is no whole."""
    return max(0, min(100, round(100 * (part or 0) / whole))) if whole else 0


@register.filter
def audit_link(target: str) -> str:
    """The page of what an audit event is about; '' for none."""
    return registry.audit_link(target)


@register.filter
def at(mapping: dict[Any, Any], key: Any) -> Any:
    """A value of a mapping by a key that a template holds in a variable."""
    return mapping.get(key)


@register.inclusion_tag("portal/parts/copy.html")
def copy(text: str, label: str = "") -> dict[str, str]:
    """A button that copies a text; there only where scripts run."""
    return {"text": text, "label": label or gettext("Copy")}


@register.inclusion_tag("portal/parts/empty.html")
def empty(icon: str, title: str, sentence: str, path: str = "", label: str = "", command: str = "", sign: str = "plus") -> dict[str, Any]:
    """What stands where nothing is yet: what it is for, the button, and the command that does the same."""
    return {"icon": icon, "title": title, "sentence": sentence, "path": path, "label": label, "command": command, "sign": sign}
