"""A list of the admin as a file: CSV for spreadsheets, JSON lines for programs, streamed row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.admin.utils import label_for_field, lookup_field
from django.core.exceptions import PermissionDenied
from django.db.models import Manager, Model
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone

from condahub.adminsite.site import may_look

ROWS_AT_ONCE = 1000
LEFT_OUT = frozenset({"links", "action_checkbox"})
# A spreadsheet takes what begins so for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class _Echo:
    def write(self, value: str) -> str:
        return value


def export(model_admin: Any, request: HttpRequest) -> StreamingHttpResponse:
    """Every row of the list as the address filters, searches and sorts it. `format`: csv or json."""
    if not may_look(request):
        raise PermissionDenied
    query = request.GET.copy()
    kind = query.pop("format", ["csv"])[-1]
    request.GET = query  # type: ignore[assignment]  # a copy without what no list knows
    rows = model_admin.get_changelist_instance(request).get_queryset(request)
    names = [name for name in getattr(model_admin, "export_fields", None) or model_admin.get_list_display(request) if name not in LEFT_OUT]
    read = rows.iterator(chunk_size=ROWS_AT_ONCE)
    stamp = f"{timezone.now():%Y%m%d-%H%M%S}"
    if kind == "json":
        body, content_type = _json_lines(model_admin, names, read), "application/x-ndjson"
    else:
        kind, body, content_type = "csv", _csv(model_admin, names, read), "text/csv; charset=utf-8"
    headers = {
        "Content-Disposition": f'attachment; filename="{model_admin.opts.model_name}-{stamp}.{kind}"',
        "Cache-Control": "no-store",
    }
    return StreamingHttpResponse(body, content_type=content_type, headers=headers)


def _values(model_admin: Any, names: list[str], row: Model) -> Iterator[Any]:
    for name in names:
        _, _, value = lookup_field(name, row, model_admin)
        if isinstance(value, Manager):
            value = None
        yield value


def _csv(model_admin: Any, names: list[str], rows: Iterable[Model]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow([str(label_for_field(name, model_admin.model, model_admin)) for name in names])
    for row in rows:
        yield writer.writerow([_cell(value) for value in _values(model_admin, names, row)])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not isinstance(value, int | float) else text


def _json_lines(model_admin: Any, names: list[str], rows: Iterable[Model]) -> Iterator[str]:
    for row in rows:
        pairs = dict(zip(names, _values(model_admin, names, row), strict=True))
        yield json.dumps({"id": row.pk, **pairs}, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
