"""Filters that several lists share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

if TYPE_CHECKING:
    AnyAdmin = ModelAdmin[Any]
else:
    AnyAdmin = ModelAdmin


class OpenFilter(SimpleListFilter):
    """Rows whose moment `column` has not come, or has. words: for the one and the other."""

    column = ""
    words = ("Open", "Closed")

    def lookups(self, request: HttpRequest, model_admin: AnyAdmin) -> list[tuple[str, str]]:
        return [("open", self.words[0]), ("closed", self.words[1])]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("open", "closed"):
            return queryset
        return queryset.filter(**{f"{self.column}__isnull": self.value() == "open"})
