"""Queries of the hot doors, compiled once: Django takes twenty times longer to compile one than the database to answer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.db import connection, models
from django.db.models import QuerySet

Row = TypeVar("Row", bound=models.Model)


class Prepared:
    """A query of values (`values_list`) with parameters, compiled at its first use.

    make: gives the queryset for some values of the parameters. It is called once, with `markers`: values that appear nowhere else in
    the query, so that the places where the real ones go are found again. What the query depends on besides must never change.
    """

    def __init__(self, make: Callable[..., QuerySet[Any, Any]], *markers: int | str) -> None:
        self._make, self._markers = make, markers
        self._compiled: tuple[str, list[Any], Any, Any] | None = None

    def rows(self, *values: int | str) -> list[tuple[Any, ...]]:
        """The rows for these values of the parameters, as values_list gives them."""
        sql, parameters, compiler, converters = self._compiled or self._compile()
        given = dict(zip(self._markers, values, strict=True))
        with connection.cursor() as cursor:
            cursor.execute(sql, [given.get(one, one) for one in parameters])
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return [tuple(row) for row in compiler.apply_converters(found, converters)] if converters else found

    def _compile(self) -> tuple[str, list[Any], Any, Any]:
        compiler = self._make(*self._markers).query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        missing = set(self._markers) - set(parameters)
        if missing:
            raise ValueError(f"the query has no place for {missing}")
        converters = compiler.get_converters([column[0] for column in compiler.select[: compiler.col_count]])
        self._compiled = sql, list(parameters), compiler, converters
        return self._compiled


def columns_of(model: type[models.Model], path: str = "") -> list[str]:
    """The names, for values_list, of all columns of a model that is reached by `path` (`owner__`)."""
    return [f"{path}{field.attname}" for field in model._meta.concrete_fields]


def made_of(model: type[Row], values: Sequence[Any]) -> Row:
    """The object of a row, from the values of `columns_of`."""
    return model.from_db("default", [field.attname for field in model._meta.concrete_fields], values)
