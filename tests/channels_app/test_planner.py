"""What was asked of one name costs the same in a channel of 600,000: SQLite looks the name up, whatever order is asked for."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from channels_app.models import PackageFile, Revision, Shard
from channels_app.planner import tell_planner

pytestmark = [pytest.mark.django_db, pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL keeps statistics of its own")]

FILES = PackageFile.objects.filter(channel=1)
BY_FILENAME = FILES.filter(subdir="linux-64", filename="a-1-0.conda")


@pytest.mark.parametrize(
    ("asked", "by"),
    [
        (BY_FILENAME.order_by("pk")[:1], "filename=?"),
        (BY_FILENAME.filter(indexed_at__lte=timezone.now()).order_by("-indexed_at", "-pk")[:1], "filename=?"),
        (FILES.filter(name="a", state="live").order_by("-indexed_at", "-pk")[:20], "name=?"),
        (Shard.objects.filter(channel=1, subdir="linux-64", sha256=b"x").order_by("pk")[:1], "sha256=?"),
        (Revision.objects.filter(channel=1, number=7).order_by("-created_at")[:1], "number=?"),
    ],
)
def test_a_query_for_one_name_looks_the_name_up(asked: QuerySet[PackageFile], by: str) -> None:
    tell_planner()
    # Told once more, it knows the same.
    tell_planner()
    assert by in asked.explain().splitlines()[0]


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (FILES.order_by("-indexed_at", "-pk"), "file_newest"),
        (FILES.filter(state="live").order_by("-indexed_at", "-pk"), "file_newest"),
        (PackageFile.objects.hidden().filter(channel=1).order_by("-indexed_at", "-pk"), "file_hidden_newest"),
        (FILES.filter(state="live", verdict="deny").order_by("-indexed_at", "-pk"), "file_hidden"),
        (PackageFile.objects.filter(verdict="hold").order_by("-pk"), "file_hidden_anywhere"),
        (PackageFile.objects.filter(state="yanked").order_by("-pk"), "file_not_live"),
        (FILES.filter(state="purged").order_by("-pk"), "file_not_live"),
    ],
)
def test_the_first_of_a_long_list_are_read_in_the_order_of_an_index(asked: QuerySet[PackageFile], index: str) -> None:
    tell_planner()
    plan = asked[:51].explain()
    assert index in plan
    assert "TEMP B-TREE" not in plan
