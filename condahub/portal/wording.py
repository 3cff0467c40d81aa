"""Numbers, sizes and times as people say them."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

_UNITS = ("KB", "MB", "GB", "TB", "PB")
_STEPS = (("year", 365 * 86400), ("month", 30 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60))
JUST_NOW_SECONDS = 45


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
    text = f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"
    return f"{text.removesuffix('.0')} {unit}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """1 file, 214,880 files."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """3 hours ago, in 2 days, just now."""
    seconds = ((now or timezone.now()) - moment).total_seconds()
    if abs(seconds) < JUST_NOW_SECONDS:
        return "just now" if seconds >= 0 else "in a moment"
    words = span(timedelta(seconds=abs(seconds)))
    return f"{words} ago" if seconds >= 0 else f"in {words}"


def span(length: timedelta) -> str:
    """2 days, 1 minute: the largest unit alone."""
    seconds = length.total_seconds()
    for noun, step in _STEPS:
        # Half a unit short counts as the unit: 59.7 minutes are an hour.
        if seconds >= step * 0.98:
            return counted(max(1, round(seconds / step)), noun)
    return counted(max(0, round(seconds)), "second")


def listed(words: list[str]) -> str:
    """linux-64, osx-arm64 and noarch."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
