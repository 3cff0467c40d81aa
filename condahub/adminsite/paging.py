"""Pages of tables of any size: rows are counted up to a limit, so that no list costs more than its first rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator

MAX_COUNTED = 10_000


class BoundedPaginator(AnyPaginator):
    """Counts no further than MAX_COUNTED: who looks for what lies behind them narrows the list."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        return rows.order_by()[:MAX_COUNTED].count()
