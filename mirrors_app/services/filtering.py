"""Filters as JSON, as the API and the database have them, and as the sync core takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from mirrors_app.core.errors import BadConfiguration
from mirrors_app.core.filters import Filters
from mirrors_app.core.globs import read_rules

MAX_ITEMS = 20_000
MAX_ITEM_CHARS = 500
_LISTS = ("include", "exclude", "readded", "licenses", "excluded_licenses")
_NAMES = ("names", "excluded_names")
_NUMBERS = ("newest_versions", "max_bytes")
_TIMES = ("built_after", "built_before")
# `admitted` comes of approved requests, and from nobody's settings.
KEYS = tuple(one.name for one in fields(Filters) if one.name != "admitted")


def read_filters(table: Mapping[str, Any]) -> Filters:
    """`{"include": ["numpy >=1.26"], "newest_versions": 3, ...}`, keys as in `core.filters.Filters`, times in ISO 8601.

    Raises BadConfiguration (422) that names what is wrong.
    """
    if not isinstance(table, Mapping):
        raise BadConfiguration("Filters are a table.", hint=f"Keys: {', '.join(KEYS)}.")
    unknown = sorted(str(key)[:40] for key in table.keys() - set(KEYS))
    if unknown:
        raise BadConfiguration(f"There is no filter {', '.join(unknown)}.", hint=f"Filters: {', '.join(KEYS)}.")
    given = {key: value for key, value in table.items() if value not in (None, [], "")}
    read: dict[str, Any] = {key: tuple(_texts(key, given[key])) for key in _LISTS if key in given}
    read |= {key: frozenset(_texts(key, given[key])) for key in _NAMES if key in given}
    read |= {key: _number(key, given[key]) for key in _NUMBERS if key in given}
    read |= {key: _time(key, given[key]) for key in _TIMES if key in given}
    read |= {key: read_rules(given[key], key) for key in ("blacklist", "whitelist") if key in given}
    if "with_dependencies" in given:
        if not isinstance(given["with_dependencies"], bool):
            raise BadConfiguration("The filter 'with_dependencies' is true or false.")
        read["with_dependencies"] = given["with_dependencies"]
    return Filters(**read)


def as_json(filters: Filters) -> dict[str, Any]:
    """Without what says nothing; `read_filters` takes it back."""
    table: dict[str, Any] = {}
    for key in KEYS:
        value = getattr(filters, key)
        if not value:
            continue
        if isinstance(value, datetime):
            value = value.isoformat()
        elif key in ("blacklist", "whitelist"):
            value = [dict(rule) for rule in value]
        elif isinstance(value, frozenset):
            value = sorted(value)
        elif isinstance(value, tuple):
            value = list(value)
        table[key] = value
    return table


def _texts(key: str, value: Any) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise BadConfiguration(f"The filter '{key}' is a list of texts.")
    texts = [one.strip() for one in value if one.strip()]
    if len(texts) > MAX_ITEMS or any(len(one) > MAX_ITEM_CHARS or "\x00" in one for one in texts):
        raise BadConfiguration(f"The filter '{key}' has too many items, or one that is too long.")
    return texts


def _number(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise BadConfiguration(f"The filter '{key}' is a whole number, not negative.")
    return value


def _time(key: str, value: Any) -> datetime:
    try:
        when = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise BadConfiguration(f"The filter '{key}' is a date or time in ISO 8601, as 2026-01-31.") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
