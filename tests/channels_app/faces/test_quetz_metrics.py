"""Download counts by day, month and year, for readers of the channel alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from channels_app.models import Channel, DownloadCount, PackageFile
from tests.channels_app.faces.conftest import House

pytestmark = pytest.mark.django_db(transaction=True)
OF_FILE = "/api/metrics/channels/secret/packages/demo/versions/noarch/demo-1.0-0.conda"
OF_CHANNEL = "/api/metrics/channels/secret"


@pytest.fixture
def counted(house: House, secret: Channel, package: Callable[..., Path]) -> PackageFile:
    house.upload(package())
    file = PackageFile.objects.get()
    for day, count in ((date(2025, 12, 31), 1), (date(2026, 1, 1), 2), (date(2026, 1, 4), 3)):
        DownloadCount.objects.create(file=file, day=day, count=count)
    return file


@pytest.mark.parametrize(
    ("query", "series"),
    [
        ("", [("2025-12-31", 1), ("2026-01-01", 2), ("2026-01-04", 3)]),
        ("?period=M", [("2025-12-01", 1), ("2026-01-01", 5)]),
        ("?period=Y", [("2025-01-01", 1), ("2026-01-01", 5)]),
        ("?start=2026-01-01", [("2026-01-01", 2), ("2026-01-04", 3)]),
        ("?end=2026-01-01", [("2025-12-31", 1), ("2026-01-01", 2)]),
        ("?start=2026-01-01&fill_zeros=true", [("2026-01-01", 2), ("2026-01-02", 0), ("2026-01-03", 0), ("2026-01-04", 3)]),
        (
            "?period=M&start=2025-11-15&end=2026-02-01&fill_zeros=1",
            [("2025-11-01", 0), ("2025-12-01", 1), ("2026-01-01", 5), ("2026-02-01", 0)],
        ),
    ],
)
def test_counts_are_summed_by_period(house: House, counted: PackageFile, query: str, series: list[tuple[str, int]]) -> None:
    said = house.get(f"{OF_FILE}{query}", "reader")
    assert [(one["timestamp"][:10], one["count"]) for one in said["series"]] == series
    assert said["total"] == sum(count for _, count in series) and said["metric_name"] == "download"
    channel = house.get(f"{OF_CHANNEL}{query}", "reader")
    assert channel["packages"] == {"noarch/demo-1.0-0.conda": {"series": said["series"]}}


@pytest.mark.parametrize(
    "query", ["period=H", "period=W", "metric_name=love", "start=never", "start=0001-01-01&end=9999-12-30&fill_zeros=1"]
)
def test_what_is_not_counted_is_422(house: House, counted: PackageFile, query: str) -> None:
    assert house.call("GET", f"{OF_FILE}?{query}", "reader").status_code == 422


def test_a_file_that_is_not_there_is_404(house: House, counted: PackageFile) -> None:
    assert house.call("GET", OF_FILE.replace("1.0", "2.0"), "reader").status_code == 404
