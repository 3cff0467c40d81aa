"""Many rows at once are the rows that one by one would be, under the ids that were said."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from channels_app.models import Blob
from condahub.bulk import STATEMENT_ROWS, insert, new_ids

TABLE = Blob._meta.db_table


def rows(ids: range | list[int]) -> list[tuple[int, str, int]]:
    return [(pk, f"{pk:064x}", pk * 10) for pk in ids]


@pytest.mark.django_db
def test_more_than_fit_a_statement() -> None:
    Blob.objects.create(sha256="0" * 64, size=1)
    at = connection.ops.adapt_datetimefield_value(Blob.objects.get().created_at)
    with transaction.atomic():
        ids = list(new_ids(TABLE, 2 * STATEMENT_ROWS + 7))
        insert(TABLE, {"md5": "it's ü", "created_at": at}, ("id", "sha256", "size"), rows(ids))
    made = Blob.objects.exclude(sha256="0" * 64).order_by("pk")
    assert [(one.pk, one.sha256, one.size) for one in made] == rows(ids)
    assert {one.md5 for one in made} == {"it's ü"}
    # Who comes next gets an id of its own.
    assert Blob.objects.create(sha256="1" * 64, size=1).pk not in ids


@pytest.mark.django_db
def test_what_may_not_be_is_the_error_of_the_orm() -> None:
    known = Blob.objects.create(sha256="0" * 64, size=1)
    at = connection.ops.adapt_datetimefield_value(known.created_at)
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(TABLE, {"md5": "", "created_at": at}, ("sha256", "size"), [(known.sha256, 1)])
