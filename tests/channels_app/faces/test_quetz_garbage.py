"""Whatever is sent to any of these addresses, the answer is a clear refusal and never a crash."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from channels_app.models import Channel
from channels_app.urls import urlpatterns_web
from tests.channels_app.faces.conftest import House
from tests.channels_app.faces.test_quetz_table import address

pytestmark = pytest.mark.django_db(transaction=True)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
WORDS = ("secret", "demo", "a%00b", "%C3%A9%FF", "..%2f..%2fx", "9" * 18, "demo-1.0-0.conda", "-" * 300, "%25_'\"")
BODIES: tuple[object, ...] = (
    None,
    b"{",
    {},
    {"name": 1, "role": [], "action": {}, "roles": [{"channel": {}}], "username": None},
    {"name": "x" * 5000, "role": "owner", "action": "reindex", "username": "x" * 5000, "status": "x", "private": 3, "ttl": 2**70},
    b"\xff" * 2000,
    {"size_limit": 2**64, "expire_at": "0000-00-00", "start_at": "9999-99-99T00:00:00Z", "metadata": "x"},
)
QUERIES = (
    "",
    "skip=-1&limit=x&start=x&period=Q&force=x&sha256=x",
    "q=%00&username=%00&source_channel=%00",
    "q=%FF%FE:x+-+NOT+%22&version_match_str=%5B%5D&order_by=:::&public=%FF",
    "time_created__ge=9999-12-31T23:59:59-12:00&start=0001-01-01T00:00:00%2B14:00&end=9999-12-31&fill_zeros=1",
    "source_channel=secret&source_package=demo&subdir=..&filename=demo-1.0-0.conda",
    "limit=0&skip=1000000000&status=x&status=timeout",
    "period=M&start=2026-01-01&fill_zeros=yes&metric_name=download&platform=%C3%A9",
)


def addresses(pattern: str) -> Iterator[str]:
    """The address with each of WORDS in every place, and once more with a channel that is there."""
    for word in WORDS:
        for fixed in ({"job": "9" * 18}, {"job": "1", "channel": "secret"}):
            yield re.sub(r"\{([a-z_]+)\}", lambda found, word=word, fixed=fixed: fixed.get(found[1], word), address(pattern))


@pytest.mark.parametrize("pattern", [str(one.pattern) for one in urlpatterns_web])
def test_garbage_is_refused(house: House, secret: Channel, package: Callable[..., Path], pattern: str) -> None:
    assert house.upload(package()).status_code == 201
    bodies, queries = cycle(BODIES), cycle(QUERIES)
    paths = list(dict.fromkeys(addresses(pattern)))
    methods = [method for method in METHODS if house.call(method, paths[0]).status_code != 405]
    for path in paths:
        for method in methods:
            response = house.call(method, f"{path}?{next(queries)}", "staff", body=next(bodies))
            assert response.status_code < 500 or response.status_code == 501, (method, path, response.content)
