"""Tables of who may come through which door: how they are read, which addresses they cover, and what each door says to each column."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.db import transaction
from django.http import HttpResponseBase
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from django.views.generic import RedirectView

from tests.api.conftest import World
from tests.api.test_access_table import COLUMNS

# A cell: the column's letter where it comes through (2xx, 3xx), else how it is refused:
#   -  401 for anonymous and 403 for all others      0  404, as for what is not there      4  400, for clients that show no other
#   >  led to the page for signing in
REFUSED = {"0": 404, "4": 400}
SIGN_IN = "/accounts/login/"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# A method that no door knows, so that each says which it does.
UNKNOWN = "PROPFIND"


class Row(NamedTuple):
    """One line of a table."""

    method: str
    path: str
    cells: Mapping[str, str]

    @property
    def operation(self) -> str:
        return f"{self.method} {self.path}"


def rows(table: str) -> Iterator[Row]:
    """The lines of a table; the method ANY stands for each."""
    for line in filter(None, table.splitlines()):
        method, path, *cells = line.split()
        assert len(cells) == len(COLUMNS), line
        assert all(cell in ("-", "0", "4", ">", column) for cell, column in zip(cells, COLUMNS, strict=True)), line
        for one in METHODS if method == "ANY" else (method,):
            yield Row(one, path, dict(zip(COLUMNS, cells, strict=True)))


def patterns(urlconf: str, besides: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Every (method, route) of a URLconf, but for routes that begin as one of `besides`."""

    def walk(some: list[URLPattern | URLResolver], before: str) -> Iterator[tuple[str, URLPattern]]:
        for one in some:
            route = before + str(one.pattern)
            if isinstance(one, URLPattern):
                yield route, one
            else:
                yield from walk(one.url_patterns, route)

    for route, pattern in walk(get_resolver(urlconf).url_patterns, ""):
        if not route.startswith(tuple(besides)):
            yield from ((method, route) for method in _methods(pattern))


def _methods(pattern: URLPattern) -> Collection[str]:
    """What the door itself says that it answers; GET where it does not look at the method."""
    if getattr(pattern.callback, "view_class", None) is RedirectView:
        return ("GET",)
    words = dict.fromkeys(re.compile(getattr(pattern.pattern, "_regex", "")).groupindex, "x")
    told = pattern.callback(RequestFactory().generic(UNKNOWN, "/"), **words)
    return [method for method in told.headers["Allow"].split(", ") if method != "HEAD"] if told.status_code == 405 else ("GET",)


def covered(table: str, values: Mapping[str, Any], urlconf: str | None = None) -> set[tuple[str, str]]:
    """The (method, route) that each row's address leads to. Raises Resolver404 for a row that leads nowhere."""
    return {(row.method, resolve("/" + row.path.format_map(values), urlconf).route) for row in rows(table)}


def token_clients(world: World) -> dict[str, Client]:
    """One client a column. They share what answers them: making it anew costs more than all its requests."""
    clients = {column: world.api(*who).client for column, who in COLUMNS.items()}
    for client in clients.values():
        client.handler = clients["a"].handler
    return clients


def surprise(row: Row, column: str, status: int, location: str, *, opened: Collection[int] = ()) -> str | None:
    """What is not as the table says. opened: the statuses by which this door says that one came through."""
    cell = row.cells[column]
    if cell == ">":
        as_told = status == 302 and urlsplit(location).path == SIGN_IN
    elif cell == column:
        as_told = status in opened if opened else 200 <= status < 400 and urlsplit(location).path != SIGN_IN
    else:
        as_told = status == REFUSED.get(cell, 401 if column == "a" else 403)
    return None if as_told else f"{row.operation}: {column} got {status} {location}, the table says {cell}"


def surprises(
    table: str,
    clients: Mapping[str, Client],
    send: Callable[[Client, Row], HttpResponseBase],
    *,
    opened: Mapping[str, Collection[int]] | None = None,
    cells_of: str = "",
) -> list[str]:
    """All that is not as the table says; what a request changed is undone, so that each finds the same world. cells_of: one column
    that counts for all clients."""
    wrong = []
    for row in rows(table):
        for column, client in clients.items():
            with transaction.atomic():
                response = send(client, row)
                transaction.set_rollback(True)
            told = response.status_code, response.headers.get("Location", "")
            wrong.append(surprise(row, cells_of or column, *told, opened=(opened or {}).get(row.operation, ())))
    return [one for one in wrong if one]
