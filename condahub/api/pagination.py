"""Lists in pages: `{"count", "next", "previous", "results"}`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.views import APIView

MAX_PAGE_SIZE = 200
MAX_PAGE_DIGITS = 9


class HubPagination(PageNumberPagination):
    """`?page=` from 1, `?page_size=` to 200 (more is cut to that). A number that is none is 400; a page past the end is 404."""

    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    def get_page_size(self, request: Request) -> int | None:
        asked = _number(request, "page_size")
        return min(asked, MAX_PAGE_SIZE) if asked is not None else self.page_size

    def get_page_number(self, request: Request, paginator: object) -> int:
        return _number(request, "page") or 1


class StrictOrdering(OrderingFilter):
    """Orders by the view's `ordering_fields` alone, and says so when asked for another."""

    def remove_invalid_fields(self, queryset: QuerySet[Any], fields: Iterable[str], view: APIView, request: Request) -> list[str]:
        fields = list(fields)
        known = [name for name, _ in self.get_valid_fields(queryset, view, {"request": request})]
        unknown = [field for field in fields if field.removeprefix("-") not in known]
        if unknown:
            raise ValidationError({"ordering": [f"'{unknown[0][:60]}' is not one of {', '.join(known) or 'none'}."]})
        return fields


def _number(request: Request, parameter: str) -> int | None:
    text = request.query_params.get(parameter)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_PAGE_DIGITS and int(text) > 0):
        raise ValidationError({parameter: ["A whole number from 1."]})
    return int(text)
