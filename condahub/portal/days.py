"""A day that somebody chose: what a page shows as it was at the end of that day."""

from __future__ import annotations

from datetime import date, datetime

from django.http import HttpRequest
from django.utils.translation import gettext

from condahub.accounts.access import end_of
from condahub.errors import Invalid
from condahub.portal.page import asked


def chosen_day(request: HttpRequest) -> tuple[str, datetime | None]:
    """The `?on=` of the address and the last moment of that day (UTC); None for today and later. Raises Invalid `bad_date`."""
    text = asked(request, "on", 10)
    if not text:
        return "", None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Invalid(gettext("This is not a day."), code="bad_date", hint=gettext("Write it as 2026-12-31.")) from None
    moment = end_of(day)
    return (day.isoformat(), moment) if moment is not None else ("", None)
