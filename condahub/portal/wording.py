"""Numbers, sizes and times as people say them, in the language of the page."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext, ngettext_lazy

_UNITS = ("KB", "MB", "GB", "TB", "PB")
_STEPS = (("year", 365 * 86400), ("month", 30 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60))
JUST_NOW_SECONDS = 45

# What is counted on pages, by its English noun. A noun that is missing here is said in English: tests/portal/test_languages.py.
_COUNTED: dict[str, Promise] = {
    "advisory": ngettext_lazy("%(number)s advisory", "%(number)s advisories", "many"),
    "attempt": ngettext_lazy("%(number)s attempt", "%(number)s attempts", "many"),
    "build": ngettext_lazy("%(number)s build", "%(number)s builds", "many"),
    "byte": ngettext_lazy("%(number)s byte", "%(number)s bytes", "many"),
    "channel": ngettext_lazy("%(number)s channel", "%(number)s channels", "many"),
    "day": ngettext_lazy("%(number)s day", "%(number)s days", "many"),
    "download": ngettext_lazy("%(number)s download", "%(number)s downloads", "many"),
    "environment": ngettext_lazy("%(number)s environment", "%(number)s environments", "many"),
    "file": ngettext_lazy("%(number)s file", "%(number)s files", "many"),
    "hour": ngettext_lazy("%(number)s hour", "%(number)s hours", "many"),
    "job": ngettext_lazy("%(number)s job", "%(number)s jobs", "many"),
    "link script": ngettext_lazy("%(number)s link script", "%(number)s link scripts", "many"),
    "minute": ngettext_lazy("%(number)s minute", "%(number)s minutes", "many"),
    "mirror": ngettext_lazy("%(number)s mirror", "%(number)s mirrors", "many"),
    "month": ngettext_lazy("%(number)s month", "%(number)s months", "many"),
    "name": ngettext_lazy("%(number)s name", "%(number)s names", "many"),
    "older version": ngettext_lazy("%(number)s older version", "%(number)s older versions", "many"),
    "organization": ngettext_lazy("%(number)s organization", "%(number)s organizations", "many"),
    "package": ngettext_lazy("%(number)s package", "%(number)s packages", "many"),
    "person": ngettext_lazy("%(number)s person", "%(number)s people", "many"),
    "place": ngettext_lazy("%(number)s place", "%(number)s places", "many"),
    "platform": ngettext_lazy("%(number)s platform", "%(number)s platforms", "many"),
    "request": ngettext_lazy("%(number)s request", "%(number)s requests", "many"),
    "rule": ngettext_lazy("%(number)s rule", "%(number)s rules", "many"),
    "second": ngettext_lazy("%(number)s second", "%(number)s seconds", "many"),
    "thing": ngettext_lazy("%(number)s thing", "%(number)s things", "many"),
    "type": ngettext_lazy("%(number)s type", "%(number)s types", "many"),
    "version": ngettext_lazy("%(number)s version", "%(number)s versions", "many"),
    "year": ngettext_lazy("%(number)s year", "%(number)s years", "many"),
}


def is_translated(noun: str) -> bool:
    return noun in _COUNTED


def number(value: float, decimals: int | None = None) -> str:
    """214,880, and 214.880 where that is how it is written."""
    return number_format(value, decimals, force_grouping=True)


def size(nbytes: int) -> str:
    """4.2 GB; powers of 1000, as disks and quotas are sold."""
    if nbytes < 1000:
        return counted(nbytes, "byte")
    value = float(nbytes)
    for unit in _UNITS:
        value /= 1000
        if value < 999.5 or unit == _UNITS[-1]:
            break
    # A quota of 10 GiB is 10.7 GB: rounded to 11 it would promise what is not there.
    tenths = round(value, 1)
    text = number(tenths, 1) if value < 99.95 and tenths != int(tenths) else number(round(value), 0)
    return f"{text} {unit}"


def counted(number_of: int, noun: str, plural: str = "") -> str:
    """1 file, 214,880 files. noun: English and singular, one of those that are translated."""
    words = _COUNTED.get(noun)
    if words is None:
        return f"{number(number_of)} {noun if number_of == 1 else plural or noun + 's'}"
    return str(words % {"number": number(number_of), "many": number_of})


def ago(moment: datetime, now: datetime | None = None) -> str:
    """3 hours ago, in 2 days, just now."""
    seconds = ((now or timezone.now()) - moment).total_seconds()
    if abs(seconds) < JUST_NOW_SECONDS:
        return gettext("just now") if seconds >= 0 else gettext("in a moment")
    noun, many = _largest(abs(seconds))
    return _past(noun, many) if seconds >= 0 else _future(noun, many)


def span(length: timedelta) -> str:
    """2 days, 1 minute: the largest unit alone."""
    noun, many = _largest(length.total_seconds())
    return counted(many, noun)


def _largest(seconds: float) -> tuple[str, int]:
    for noun, step in _STEPS:
        # Half a unit short counts as the unit: 59.7 minutes are an hour.
        if seconds >= step * 0.98:
            return noun, max(1, round(seconds / step))
    return "second", max(0, round(seconds))


def _past(noun: str, many: int) -> str:
    said = {
        "year": lambda: ngettext("%(number)s year ago", "%(number)s years ago", many),
        "month": lambda: ngettext("%(number)s month ago", "%(number)s months ago", many),
        "day": lambda: ngettext("%(number)s day ago", "%(number)s days ago", many),
        "hour": lambda: ngettext("%(number)s hour ago", "%(number)s hours ago", many),
        "minute": lambda: ngettext("%(number)s minute ago", "%(number)s minutes ago", many),
        "second": lambda: ngettext("%(number)s second ago", "%(number)s seconds ago", many),
    }
    return said[noun]() % {"number": number(many)}


def _future(noun: str, many: int) -> str:
    said = {
        "year": lambda: ngettext("in %(number)s year", "in %(number)s years", many),
        "month": lambda: ngettext("in %(number)s month", "in %(number)s months", many),
        "day": lambda: ngettext("in %(number)s day", "in %(number)s days", many),
        "hour": lambda: ngettext("in %(number)s hour", "in %(number)s hours", many),
        "minute": lambda: ngettext("in %(number)s minute", "in %(number)s minutes", many),
        "second": lambda: ngettext("in %(number)s second", "in %(number)s seconds", many),
    }
    return said[noun]() % {"number": number(many)}


def listed(words: list[str]) -> str:
    """linux-64, osx-arm64 and noarch."""
    if len(words) < 2:
        return words[0] if words else ""
    return gettext("%(first)s and %(last)s") % {"first": ", ".join(words[:-1]), "last": words[-1]}
