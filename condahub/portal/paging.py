"""Lists by pages: numbered where counting is cheap, by keys where it is not; sorted as the address says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.functional import Promise

M = TypeVar("M", bound=Model)

PAGE_ROWS = 50
# Past this a person filters; a program has the API.
MAX_PAGE = 100_000
MAX_KEY = 2**62


@dataclass(frozen=True)
class Page(Generic[M]):
    """One page of a list. total: rows in all. previous, next: addresses, empty where there is none."""

    rows: list[M]
    total: int
    number: int
    last: int
    previous: str
    next: str

    @property
    def first_row(self) -> int:
        return (self.number - 1) * PAGE_ROWS + 1 if self.rows else 0

    @property
    def last_row(self) -> int:
        return self.first_row + len(self.rows) - 1 if self.rows else 0


@dataclass(frozen=True)
class Stretch(Generic[M]):
    """One stretch of a list that is never counted, the newest first. older, newest: addresses, empty where there is none."""

    rows: list[M]
    older: str
    newest: str


@dataclass(frozen=True)
class Column:
    """A heading that sorts. direction: 'ascending', 'descending' or '' when the list is sorted by another one."""

    label: str
    address: str
    direction: str


def numbered(request: HttpRequest, rows: QuerySet[M]) -> Page[M]:
    """The page that `?page=` names; past the end it is the last one. One query where one page holds all, else two."""
    asked = _number(request.GET, "page", 1, MAX_PAGE)
    if asked == 1:
        begin = list(rows[: PAGE_ROWS + 1])
        if len(begin) <= PAGE_ROWS:
            return Page(begin, len(begin), 1, 1, "", "")
    total = rows.count()
    last = max(1, -(-total // PAGE_ROWS))
    number = min(asked, last)
    start = (number - 1) * PAGE_ROWS
    found = begin[:PAGE_ROWS] if number == asked == 1 else list(rows[start : start + PAGE_ROWS])
    return Page(
        found,
        total,
        number,
        last,
        address(request, page=number - 1) if number > 1 else "",
        address(request, page=number + 1) if number < last else "",
    )


def stretch(request: HttpRequest, rows: QuerySet[M], key: str) -> Stretch[M]:
    """The rows before `?before=` by a descending unique number. One query, however long the list is."""
    before = _number(request.GET, "before", 0, MAX_KEY)
    ordered = rows.order_by(f"-{key}")
    found = list((ordered.filter(**{f"{key}__lt": before}) if before else ordered)[: PAGE_ROWS + 1])
    more = len(found) > PAGE_ROWS
    found = found[:PAGE_ROWS]
    return Stretch(found, address(request, before=getattr(found[-1], key)) if more else "", address(request, before=None) if before else "")


def sorting(
    request: HttpRequest, columns: Mapping[str, tuple[str | Promise, Sequence[str]]], default: str
) -> tuple[dict[str, Column], list[str]]:
    """Headings by key, and what to order by, as `?sort=` says (`-name` is descending).

    columns: key -> (label, fields); the fields end in a unique one, so that pages do not overlap.
    """
    asked = request.GET.get("sort", default)
    key, descending = asked.removeprefix("-"), asked.startswith("-")
    if key not in columns:
        asked = default
        key, descending = default.removeprefix("-"), default.startswith("-")
    headings = {}
    for name, (label, _) in columns.items():
        turned = f"-{name}" if name == key and not descending else name
        direction = ("descending" if descending else "ascending") if name == key else ""
        headings[name] = Column(str(label), address(request, sort=turned, page=None), direction)
    fields = columns[key][1]
    return headings, [_flipped(field) if descending else field for field in fields]


def address(request: HttpRequest, **changes: Any) -> str:
    """This page's address with some of its filters changed; None takes one out."""
    query = request.GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    left = [(name, value) for name, values in query.lists() for value in values if value]
    return f"{request.path}?{urlencode(left)}" if left else request.path


def _number(query: QueryDict, name: str, fallback: int, most: int) -> int:
    text = query.get(name, "")
    return max(1, min(int(text[:19]), most)) if text.isascii() and text.isdigit() else fallback


def _flipped(field: str) -> str:
    return field[1:] if field.startswith("-") else f"-{field}"
